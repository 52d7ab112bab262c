# Answers with the event.
handler() {
    cat
}

# Answers with the event as the argument has it.
argument() {
    printf '%s' "$1"
}
