# Compresses what is posted to it, behind API Gateway or a function URL. Handler: function.handler
#
# Binary bodies are in base64, both ways. The event comes on standard input, because it may be large:
# ../settings/api-gzip says so. Needs jq.

handler() {
    event=$(cat)
    method=$(printf '%s' "$event" | jq --raw-output .requestContext.http.method)
    if [ "$method" != POST ]; then
        echo '{"statusCode":405,"headers":{"Allow":"POST"},"body":"POST a body"}'
        return
    fi

    # A body may hold NULs, so it goes through pipes and is never in a variable.
    compressed=$(printf '%s' "$event" |
        jq --raw-output 'if .isBase64Encoded then .body else .body // "" | @base64 end' |
        base64 -d | gzip -9 --no-name | base64 | tr -d '\n')

    echo "compressed for $LAMBDA_RUNTIME_AWS_REQUEST_ID" >&2
    printf '{"statusCode":200,"headers":{"Content-Type":"application/gzip"},'
    printf '"isBase64Encoded":true,"body":"%s"}\n' "$compressed"
}
