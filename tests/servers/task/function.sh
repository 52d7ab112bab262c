# What app, stream and endless do, as shell functions.

# The event comes on standard input, since no argument holds every byte.
handler() {
    file=$(mktemp)
    cat >"$file"
    case $(head -c 20 "$file" | tr -d '\000') in
    '"fail"')
        printf '{"errorType":"Function.Own","errorMessage":"own words"}'
        return 1
        ;;
    '"overrun"') sleep 1.5 ;;
    *) cat "$file" ;;
    esac
    rm "$file"
}

stream() {
    file=$(mktemp)
    cat >"$file"
    printf '{"statusCode":200,"cookies":[]}'
    sleep 0.2
    printf '\000\000\000\000\000\000\000\000'
    sleep 0.2
    [ "$(cat "$file")" != '"fail"' ] || return 3
    cat "$file"
    rm "$file"
}

endless() {
    while echo line; do sleep 0.1; done
}
