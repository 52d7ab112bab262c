#!/bin/sh
# Builds a bootstrap that runs functions on this machine and prints its path: the artefact itself,
# or, where the parts for a static build cannot be had, a plain build for this machine's C library.
# With that one a function can be tried here; it is not what Lambda needs, and stays out of dist/.
#
#   deploy/local.sh ARCH
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

status=0
deploy/build.sh "$1" >&2 || status=$?
if [ "$status" -eq 0 ]; then
    echo "dist/$1/bootstrap"
    exit
fi
# 3: parts are missing. Without cargo or a linker a plain build would miss them too.
if [ "$status" -ne 3 ] || ! command -v cargo >/dev/null || ! command -v cc >/dev/null; then
    exit "$status"
fi
echo "build: going on with a plain build, for use on this machine only" >&2
target_dir=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --bin bootstrap --target-dir "$target_dir" >&2
echo "$target_dir/release/bootstrap"
