# A script with a dot in its name: the handler is split at the last one.
handler() {
    echo dotted
}
