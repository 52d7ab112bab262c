#!/bin/sh
# Everything that can be tested on this machine; `make test` runs it.
#
# Builds the artefacts first, so that the tests look at those of this tree. Out: what the parts
# print, then what was skipped and why, one line each, then one line that counts. Status 1 if
# anything failed. A part that fails does not keep the next ones from running.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

# Without a compiler there is nothing to test; the command that gets it is told.
case $(uname -m) in
aarch64) here=arm64 ;;
*) here=$(uname -m) ;;
esac
deploy/build.sh "$here" look || exit

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
log=$scratch/log
broken=$scratch/broken
: >"$broken"

# A shell that was told to go to the background has made this script ignore Ctrl-C, and so would the
# processes under test, which are to end by it. GNU's env can undo that, no shell can.
fresh="env --default-signal"
$fresh true 2>/dev/null || fresh=

# part NAME COMMAND...: runs it, shows what it prints and keeps that for the count; $status is how
# it ended.
part() {
    part=$1
    shift
    printf '\n=== %s\n' "$part"
    # shellcheck disable=SC2086 # It is two words or none.
    { $fresh "$@" 2>&1 && echo 0 >"$scratch/status" || echo $? >"$scratch/status"; } | tee -a "$log"
    status=$(cat "$scratch/status")
}

failed() { echo "failed: $part, status $status" >>"$broken"; }

# skip WHAT WHY
skip() { echo "skipped: $1: $2" | tee -a "$log"; }

all_built=1
for arch in x86_64 arm64; do
    part "the $arch artefact" deploy/build.sh "$arch"
    case $status in
    0) ;;
    3)
        skip "the $arch artefact" "this machine lacks parts for it; the command is above"
        all_built=
        ;;
    *) failed ;;
    esac
done
# What was built has to be tested. A caller may also set this to insist on both.
[ -z "$all_built" ] || export ZEROSTRAP_REQUIRE_DIST=1

part "AWS's emulator" deploy/rie.sh
[ "$status" -eq 0 ] || failed

part "cargo test" cargo test --locked --no-fail-fast -- --show-output
[ "$status" -eq 0 ] || failed

# These need what Debian 12 has.
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    part packaging python3 tests/packaging/run.py
    [ "$status" -eq 0 ] || failed
    part "the command and the local Runtime API" python3 tests/local/run.py
    [ "$status" -eq 0 ] || failed
    part "SBOMs and VEX" python3 tests/audit/all.py
    [ "$status" -eq 0 ] || failed
    part "other people's servers" python3 tests/servers/run.py
    [ "$status" -eq 0 ] || failed
    part "other people's HTTP clients" python3 tests/verdicts/run.py
    [ "$status" -eq 0 ] || failed
else
    skip "packaging, the command, other people's servers and HTTP clients, SBOMs and VEX" \
        "there is no Python of 3.11 or newer; run: apt-get install python3 python3-venv"
fi

# Both boot small machines; kernels are fetched by make lab and make vm, not here.
part "the laboratory" tests/lab/run.sh --offline
[ "$status" -eq 0 ] || failed
case $(uname -m) in
aarch64) machines="arm64-5.10 arm64-6.1" ;;
*) machines="x86_64-5.10 x86_64-6.1" ;;
esac
# shellcheck disable=SC2086 # Names, one word each.
part "small machines" tests/vm/run.sh --offline $machines
[ "$status" -eq 0 ] || failed

printf '\n=== summary\n'
sed -n 's/^\(test .* \.\.\. \)\{0,1\}\(skipped: .*\)/\2/p' "$log" | sort -u | tee "$scratch/skipped"
cat "$broken"
# The closing lines of cargo's test runs and of the other parts, added up. A part can also fail
# without a failed test, by not compiling: that counts as one.
tr -d ',;' <"$log" | awk -v skipped="$(wc -l <"$scratch/skipped")" \
    -v broken="$(wc -l <"$broken")" '
    /^test result: / || /^(packaging|local|audit|servers|verdicts|lab|vm): / {
        for (i = 2; i <= NF; i++) {
            if ($i == "passed") passed += $(i - 1)
            if ($i == "failed") failed += $(i - 1)
        }
    }
    END {
        if (broken > 0 && failed == 0) failed = 1
        printf "tests: %d passed, %d failed, %d skipped\n", passed, failed, skipped
    }'
[ ! -s "$broken" ]
