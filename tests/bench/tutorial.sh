#!/bin/bash
# The peer that most shell functions run today: one loop of bash and curl, in the manner of AWS's custom runtime
# tutorial (temporary file for the headers, grep, tr and cut for the request id, the response as an argument of curl).
set -euo pipefail

api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
source "$LAMBDA_TASK_ROOT/$(echo "$_HANDLER" | cut -d. -f1).sh"

while true; do
    headers=$(mktemp)
    event=$(curl -sS -LD "$headers" "$api/next")
    id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
    response=$($(echo "$_HANDLER" | cut -d. -f2) "$event")
    curl -sS "$api/$id/response" -d "$response"
    rm -f "$headers"
done
