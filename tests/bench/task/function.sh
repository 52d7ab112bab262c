# The shell handler of every contestant that has one.
handler() {
    printf '%s' "$1"
}
