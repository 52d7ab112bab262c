#!/bin/bash
# A shell function: the event comes as $1 and on standard input, the answer goes to standard output,
# and whatever is written to standard error is log.

handler() {
  echo "event of ${#1} characters" >&2
  printf '{"greeting":"Hello from a shell function","event":%s}\n' "${1:-null}"
}
