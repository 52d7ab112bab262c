# In the style of the scripts that people write after AWS's tutorial: the event is the argument, the
# log is standard error, the response is standard output.
handler() {
    EVENT_DATA=$1
    echo "$EVENT_DATA" 1>&2
    RESPONSE="Echoing request: '$EVENT_DATA'"

    echo $RESPONSE
}
