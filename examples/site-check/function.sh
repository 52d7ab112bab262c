# Looks whether a site answers. Handler: function.handler. Started by a schedule of EventBridge.
#
# A site that does not answer with 200 fails the event: an alarm on the function's metric Errors then
# says so. SITE is a setting of the function.

# Unset, it fails the init, with this message in log and error.
: "${SITE:?set SITE to the address that is checked}"

# fail TYPE MESSAGE: the caller gets this document.
fail() {
    printf '{"errorType":"Function.%s","errorMessage":"%s"}\n' "$1" "$2"
    exit 1
}

handler() {
    # curl itself fails for a site that cannot be reached, and writes 000.
    result=$(curl --silent --show-error --max-time 10 --output /dev/null \
        --write-out '%{http_code} %{time_total}' "$SITE") ||
        fail SiteUnreachable "the site cannot be reached"
    code=${result% *} seconds=${result#* }

    echo "status $code after $seconds s" >&2
    if [ "$code" != 200 ]; then
        fail SiteBroken "the site answers with status $code"
    fi
    printf '{"status":%s,"seconds":%s}\n' "$code" "$seconds"
}
