# Adds a digest to what is posted to it, behind API Gateway or a function URL. Handler: function.handler
#
# Binary bodies are in base64, both ways. The event comes on standard input, because it may be large:
# ../settings/api-digest says so. Needs jq.

handler() {
    event=$(cat)
    method=$(printf '%s' "$event" | jq --raw-output .requestContext.http.method)
    if [ "$method" != POST ]; then
        echo '{"statusCode":405,"headers":{"Allow":"POST"},"body":"POST a body"}'
        return
    fi

    body=$(printf '%s' "$event" |
        jq --raw-output 'if .isBase64Encoded then .body else .body // "" | @base64 end')
    # The bytes may have NULs, so they go through pipes and are never in a variable.
    digest=$(printf '%s' "$body" | base64 -d | sha256sum | cut -c 1-64)

    echo "digest $digest" >&2
    printf '{"statusCode":200,"headers":{"X-Content-SHA256":"%s"},' "$digest"
    printf '"isBase64Encoded":true,"body":"%s"}\n' "$body"
}
