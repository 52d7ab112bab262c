# Handles a batch of orders from SQS. Handler: function.handler. Needs bash and jq.
#
# The queue's event source mapping has ReportBatchItemFailures, so that only messages that failed
# come again. A batch that cannot be read fails as a whole.
#
# Response: {"batchItemFailures":[{"itemIdentifier":"…"},…]}

# At init, not for each event: without jq the function cannot work at all.
command -v jq >/dev/null || {
    echo "jq is missing" >&2
    exit 1
}

# Handles one order. Each step returns its own failure: errexit is off in what `if` calls.
process() {
    local order amount
    order=$(jq --exit-status .order <<<"$1") || return
    amount=$(jq --exit-status --raw-output .amount <<<"$1") || return
    echo "order $order over $amount" >&2
}

handler() {
    local records id body failed=()
    # An assignment of its own, whose failure ends the function. That of <(…) would be lost, and the
    # batch taken for done.
    records=$(jq --raw-output '.Records[] | "\(.messageId) \(.body | @base64)"' <<<"$1")

    while read -r id body; do
        if ! process "$(base64 --decode <<<"$body")"; then
            echo "message $id failed" >&2
            failed+=("$id")
        fi
    done <<<"$records"

    jq --null-input --compact-output \
        '{batchItemFailures: [$ARGS.positional[] | {itemIdentifier: .}]}' --args "${failed[@]}"
}
