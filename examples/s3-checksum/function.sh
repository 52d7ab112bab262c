# Puts the SHA-256 of each object that an S3 event names beside it, as KEY.sha256. Handler: function.handler
#
# Needs the aws CLI and jq, in layers. Its role may s3:GetObject and s3:PutObject. An event that fails
# comes again, and then does the same.

handler() {
    # A line for each object. S3 sends keys URL-encoded, so that they have no spaces.
    objects=$(printf '%s' "$1" | jq --raw-output '.Records[].s3 | "\(.bucket.name) \(.object.key)"')
    count=0
    while read -r bucket key; do
        key=${key//+/ }
        printf -v key '%b' "${key//%/\\x}"
        # What this function wrote is an event, too.
        if [[ $key == *.sha256 ]]; then
            continue
        fi
        object=s3://$bucket/$key
        digest=$(aws s3 cp --only-show-errors "$object" - | sha256sum | cut -c 1-64)
        printf '%s  %s\n' "$digest" "${key##*/}" | aws s3 cp --only-show-errors - "$object.sha256"
        echo "$digest $object" >&2
        count=$((count + 1))
    done <<<"$objects"
    printf '{"objects":%d}\n' "$count"
}
