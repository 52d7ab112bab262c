#!/bin/sh
# The unit tests of what reads and writes bytes, under Miri: no undefined behaviour, no leak, no
# pointer that points astray. `make miri` runs it; what needs the system is out of Miri's reach.
#
# Out: cargo's lines; status 1 after a finding. Without a nightly toolchain with Miri it says so and
# how to have one, and ends well.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "skipped: miri: rustup toolchain install nightly --component miri --component rust-src"
    exit 0
fi
# A folder of its own: Miri's output has another compiler.
target=${CARGO_TARGET_DIR:-target}/miri
# The clock is asked whether a deadline has passed.
MIRIFLAGS="${MIRIFLAGS-} -Zmiri-disable-isolation"
export MIRIFLAGS
exec cargo +nightly miri test --locked --lib --target-dir "$target" -- \
    http:: json:: base64:: context:: failure:: number::
