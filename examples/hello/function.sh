# A Lambda function in shell. Handler: function.handler
#
# What is outside of the function runs once, when the function starts: tools are found and
# configuration is read here. The function runs for each event.

handler() {
    event=$1

    # Standard error is the log.
    echo "request $LAMBDA_RUNTIME_AWS_REQUEST_ID: ${#event} bytes" >&2

    # Standard output is the response.
    echo "{\"message\":\"Hello from $AWS_LAMBDA_FUNCTION_NAME\",\"event\":$event}"
}
