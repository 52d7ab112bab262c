# Streams an HTML page through a function URL. Handler: function.handler
#
# The URL has the invoke mode RESPONSE_STREAM; ../settings/web-page has the function's settings. The
# response is a JSON object with status and headers, eight NUL bytes, and the body. A shell variable
# cannot hold NULs, so printf writes them directly.

handler() {
    printf '{"statusCode":200,"headers":{"Content-Type":"text/html; charset=utf-8"}}'
    printf '\0\0\0\0\0\0\0\0'
    printf '<!doctype html>\n<title>Countdown</title>\n<ul>\n'
    # What the browser gets as it comes: each line is sent when it is written.
    for count in 3 2 1; do
        printf '<li>%s\n' "$count"
        sleep "${PAUSE:-1}"
    done
    printf '</ul>\n<p>Lift-off.\n'
}
