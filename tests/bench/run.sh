#!/usr/bin/env bash
# Builds the floors, the peers and the library's echo, runs all of them beside the bootstrap against one server, and
# hands the samples to report.py, which prints the table and writes dist/bench.json and dist/bench.svg.
#
# BOOTSTRAP  the artefact under test (default: dist/ARCH/bootstrap of this machine)
# STARTS, EVENTS, LARGE  rounds of fresh processes, of small events, of 6 MB events (200, 2000, 100)
# SAVE=1     keeps the chart as tests/bench/bench.svg, which the README shows
set -euo pipefail
cd "$(dirname "$0")/../.."

case $(uname -m) in
    aarch64) arch=arm64 target=aarch64-unknown-linux-musl ;;
    *) arch=$(uname -m) target=$(uname -m)-unknown-linux-musl ;;
esac
bootstrap=$(realpath -m "${BOOTSTRAP:-dist/$arch/bootstrap}")
here=tests/bench
out=$PWD/dist/bench

missing=
for need in gcc:gcc taskset:util-linux musl-gcc:musl-tools strace:strace curl:curl python3:python3; do
    command -v "${need%:*}" > /dev/null || missing+=" ${need#*:}"
done
if [ -n "$missing" ]; then
    echo "bench: needs more tools; run: apt-get install$missing" >&2
    exit 1
fi
if [ ! -x "$bootstrap" ]; then
    echo "bench: $bootstrap is not there; run: make" >&2
    exit 1
fi

rm -rf "$out"
mkdir -p "$out/task"
say() { echo "bench: $*" >&2; }

say "building the server and the floors"
strict=(-std=gnu17 -O2 -Wall -Wextra -Werror)
gcc "${strict[@]}" -o "$out/measure" $here/measure.c
for floor in loop spawn fork echo; do
    musl-gcc "${strict[@]}" -static -s -o "$out/$floor" $here/floors/$floor.c
done
mv "$out/echo" "$out/task/echo"
cp $here/task/function.sh "$out/task/"
cp "$out/loop" "$out/loop-again"
cp "$bootstrap" "$out/bootstrap"
install -m 755 $here/tutorial.sh "$out/tutorial"

# A part that this machine cannot build is left out of the run, and its rows say so.
say "building the library's echo, the peer on lambda_runtime, and the bootstrap on the prebuilt std"
export CARGO_TARGET_DIR=$PWD/target/bench
build() { # NAME, BUILT_FILE, COMMAND…
    if "${@:3}" > "$out/$1.log" 2>&1; then
        cp "$CARGO_TARGET_DIR/$2" "$out/$1"
    else
        say "$1 could not be built and is left out: $(grep -m1 '^error' "$out/$1.log" || true)"
    fi
}
rebuilt() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${RUSTFLAGS:-} -Zunstable-options -Cpanic=immediate-abort" \
        cargo build --release -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size --target "$target" "$@"
}
# A function on the library is its user's program: Cargo's own release profile optimises it for speed.
CARGO_PROFILE_RELEASE_OPT_LEVEL=3 build library "$target/release/examples/echo" rebuilt --example echo
build prebuilt "$target/release/bootstrap" cargo build --release --target "$target" --bin bootstrap
build lambda_runtime "$target/release/lambda-runtime-echo" \
    cargo build --release --locked --target "$target" --manifest-path $here/lambda_runtime/Cargo.toml

# Small events and starts are timed on one processor, which is what Lambda gives a function of up to 1,769 MB. On two,
# a median tells where the scheduler woke whom: the same program has been seen at 20 and at 58 us for the same event. What
# passes 6 MB through pipes is timed on all of them: that both ends run at once is a part of it. An event of ours takes
# turns with its floor alone, since whatever ran between them decides what both find in the caches. A shell forks its next
# subshell after its response: back to back each is alone, since in turns that fork would be counted to the other; with a
# pause before each event the fork is done, and they take turns.
cpu=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
one=(taskset -c "$cpu")

contestant() { [ ! -x "$out/$1" ] || echo "$2:$3:$out/task:$out/$1"; }
loop=$(contestant loop floor-loop echo)
again=$(contestant loop-again floor-loop-again echo)
spawn=$(contestant spawn floor-spawn ./echo)
fork=$(contestant fork floor-fork function.handler)
program=$(contestant bootstrap ours-program echo)
shell=$(contestant bootstrap ours-shell function.handler)
library=$(contestant library ours-library echo)
official=$(contestant lambda_runtime lambda_runtime echo)
tutorial=$(contestant tutorial tutorial function.handler)

# The lists are words on purpose: a contestant that could not be built is no word.
# shellcheck disable=SC2086
{
    everyone="$loop $again $spawn $fork $program $shell $library $official $tutorial"
    say "start-up: ${STARTS:-200} fresh processes of each"
    "${one[@]}" "$out/measure" start "${STARTS:-200}" $everyone > "$out/start.tsv"
    say "small events: ${EVENTS:-2000} of each, in turns with its floor"
    small() { "${one[@]}" "$out/measure" events "${EVENTS:-2000}" 64 "$@"; }
    { small $loop $again $library $official; small $spawn $program; small $tutorial; } > "$out/events.tsv"
    say "small events of a shell: ${EVENTS:-2000} of each back to back, and $((${EVENTS:-2000} / 5)) with pauses"
    alone() { "${one[@]}" "$out/measure" events $((${EVENTS:-2000} / 4)) 64 "$1"; }
    for _ in 1 2 3 4; do alone $fork; alone $shell; done >> "$out/events.tsv"
    "${one[@]}" "$out/measure" paused $((${EVENTS:-2000} / 5)) 64 $fork $shell > "$out/paused-one.tsv"
    "$out/measure" paused $((${EVENTS:-2000} / 5)) 64 $fork $shell > "$out/paused-all.tsv"
    say "events of 6 MB: ${LARGE:-100} of each"
    large() { "$out/measure" events "${LARGE:-100}" 6291456 "$@"; }
    { large $spawn $program; large $loop $library $official; } > "$out/large.tsv"
    say "system calls"
    for one in $loop $spawn $fork $program $shell $library $official $tutorial; do
        # What they say when the door closes is not of interest, unless it closed too early.
        "$out/measure" trace 20 64 "${one%:*}:$(command -v strace):-o:$out/${one%%:*}.strace:-s:64:${one##*:}" \
            2> "$out/trace.log" || { cat "$out/trace.log" >&2; exit 1; }
    done
}

missed=0
python3 $here/report.py dist "$bootstrap" || missed=$?
[ "${SAVE:-}" != 1 ] || cp dist/bench.svg $here/bench.svg
exit "$missed"
