# What app, stream and endless do, as shell functions.

handler() {
    case $1 in
    '"fail"')
        printf '{"errorType":"Function.Own","errorMessage":"own words"}'
        return 1
        ;;
    '"overrun"') sleep 1.5 ;;
    *) cat ;;
    esac
}

stream() {
    printf '{"statusCode":200,"cookies":[]}'
    sleep 0.2
    printf '\000\000\000\000\000\000\000\000'
    sleep 0.2
    [ "$1" != '"fail"' ] || return 3
    cat
}

endless() {
    while echo line; do sleep 0.1; done
}
