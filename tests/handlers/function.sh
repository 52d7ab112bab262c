# Answers with the event, which is the argument.
handler() {
    printf '%s' "$1"
}

# Answers with the event, which is on standard input: where BOOTSTRAP_EVENT_VIA says so.
stdin() {
    cat
}
