# Reports on the objects that an S3 event names. Handler: function.handler
#
# Uses jq where there is one, as in an image or a layer; provided.al2023 itself has none, so the
# shell does without it, by patterns that fit the events that S3 sends.
#
# Response: {"objects":N,"bytes":N,"largest":"bucket/key"}
# Failure:  {"errorType":…,"errorMessage":…} on standard output, and status 1.

# Found out once, at init, not for each event.
if command -v jq >/dev/null; then
    objects=objects_by_jq
else
    objects=objects_by_shell
fi

log() {
    printf '%s %s\n' "$LAMBDA_RUNTIME_AWS_REQUEST_ID" "$1" >&2
}

# fail TYPE MESSAGE: the caller gets this document. The message is ours, so it needs no escaping.
fail() {
    log "$1: $2"
    printf '{"errorType":"%s","errorMessage":"%s"}\n' "$1" "$2"
    exit 1
}

# Prints a line "size bucket/key" for each record. The key is as S3 sends it: URL-encoded, so that
# it has neither spaces nor quotes.
objects_by_jq() {
    jq -r '.Records[].s3 | "\(.object.size // 0) \(.bucket.name)/\(.object.key)"'
}

objects_by_shell() {
    # One line for each record, then the three members that matter. White space outside of names
    # has no meaning, and names have none.
    tr -d ' \t\r\n' | sed 's/"s3":{/\
&/g' | while IFS= read -r record || [ -n "$record" ]; do
        case $record in
            '"s3":'*) ;;
            *) continue ;;
        esac
        bucket=${record#*'"bucket":{'}
        bucket=${bucket#*'"name":"'}
        key=${record#*'"object":{'}
        size=${key#*'"size":'}
        # Events of deleted objects have no size.
        [ "$size" != "$key" ] || size=0
        key=${key#*'"key":"'}
        echo "${size%%[!0-9]*} ${bucket%%'"'*}/${key%%'"'*}"
    done
}

handler() {
    case $1 in
        *'"Records"'*'"s3"'*) ;;
        *) fail Function.WrongEvent "the event has no Records with s3; send one of S3" ;;
    esac

    lines=$(printf '%s' "$1" | $objects) || fail Function.UnreadableEvent "the event is not valid JSON"

    count=0 bytes=0 largest='' most=-1
    while read -r size name; do
        log "$name: $size bytes"
        count=$((count + 1))
        bytes=$((bytes + size))
        if [ "$size" -gt "$most" ]; then
            most=$size largest=$name
        fi
    done <<LINES
$lines
LINES

    printf '{"objects":%d,"bytes":%d,"largest":"%s"}\n' "$count" "$bytes" "$largest"
}
