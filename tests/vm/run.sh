#!/bin/sh
# The artefacts on the kernels under Lambda: boots small machines of one processor and 256 MB with
# Linux 5.10 and 6.1, and runs tests/vm/scenarios in each, under AWS's own emulator.
#
#   tests/vm/run.sh [--offline] [ARCH-LINUX...]     default: all four, x86_64-5.10 to arm64-6.1
#
# --offline takes only what was fetched before. Out: a line a scenario, and a last one that counts.
# Status 1 where one failed. Emulated throughout, also where there is a /dev/kvm: in a machine that
# is itself virtual it was seen to hang.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)"
offline=
if [ "${1-}" = --offline ]; then
    offline=1
    shift
fi
[ $# -gt 0 ] || set -- x86_64-5.10 x86_64-6.1 arm64-5.10 arm64-6.1

if [ -n "$offline" ]; then
    fetched=
    for name in "$@"; do [ ! -e "target/vm/$name/version" ] || fetched=1; done
    if [ -z "$fetched" ]; then
        echo "skipped: small machines: no kernel was fetched yet, about 40 MB each; run: make vm"
        exit 0
    fi
fi
deploy/rie.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# shellcheck source=tests/vm/need.sh
. tests/vm/need.sh

# machine NAME: boots one and leaves what it printed in $scratch/NAME.log; a line `skipped: ...`
# there where it cannot be.
machine() {
    arch=${1%-*} linux=${1#*-}
    skip() { echo "skipped: the machine $1: $2"; }
    packages=
    case $arch in
    x86_64) need qemu-system-x86_64 qemu-system-x86 ;;
    arm64) need qemu-system-aarch64 qemu-system-arm ;;
    *)
        echo "failed: the machine $1: there is none of this name"
        return
        ;;
    esac
    need cpio cpio
    if [ -n "$packages" ]; then
        skip "$1" "needs more tools; run: apt-get install$packages"
        return
    fi
    if [ -n "$offline" ] && [ ! -e "target/vm/$1/version" ]; then
        skip "$1" "no kernel was fetched yet; run: make vm"
        return
    fi
    if ! tests/vm/system.sh "$arch" "$linux" 2>"$scratch/$1.fetch"; then
        skip "$1" "$(tail -n 1 "$scratch/$1.fetch")"
        return
    fi
    if [ ! -x "target/rie/aws-lambda-rie-$arch" ]; then
        skip "$1" "AWS's emulator is not there; run: deploy/rie.sh"
        return
    fi
    if [ ! -x "dist/$arch/bootstrap" ]; then
        skip "$1" "dist/$arch/bootstrap is not there; run: make ARCH=$arch"
        return
    fi
    mkdir -p "$scratch/$1/vm" "$scratch/$1/etc" "$scratch/$1/var"
    cp "dist/$arch/bootstrap" "$scratch/$1/vm/bootstrap"
    cp "target/rie/aws-lambda-rie-$arch" "$scratch/$1/vm/rie"
    cp tests/vm/scenarios "$scratch/$1/main"
    chmod 0755 "$scratch/$1/main"
    # Memory holds the root, and beside the function the emulator, up to 43 MB, which on Lambda is
    # elsewhere; bash alone takes 58 MB for an argument of 6 MB.
    # Its clock goes by instructions and idle time is left out: how busy this machine is decides
    # nothing in that one, neither who is in time nor how long a sleep takes.
    tests/vm/boot.sh "$arch" "$linux" "$scratch/$1" 256 900 -icount shift=0,sleep=off || true
}

# Two at once: each has one processor.
run() { machine "$1" >"$scratch/$1.log" 2>&1; }
status=0
while [ $# -gt 0 ]; do
    run "$1" &
    one=$! other=
    if [ $# -gt 1 ]; then
        run "$2" &
        other=$!
    fi
    wait "$one" || status=1
    [ -z "$other" ] || wait "$other" || status=1
    for name in "$1" ${other:+"$2"}; do
        log=$scratch/$name.log
        echo "--- $name: $(cat "target/vm/$name/version" 2>/dev/null)"
        # A machine that stopped on its way has not passed.
        grep -q '^main: 0$\|^skipped: \|^failed: the machine' "$log" ||
            echo "failed: the machine $name did not come to its end" >>"$log"
        # What the kernel says of killed processes is no result.
        sed "/^\[ *[0-9.]*\] /d; /^main: /d; s/^\(passed\|failed\): /\1: $name: /" "$log" | tee -a "$scratch/all"
        shift
    done
done

count() { grep -c "^$1: " "$scratch/all" || true; }
echo "vm: $(count passed) passed, $(count failed) failed, $(count skipped) skipped"
[ "$status" -eq 0 ] && [ "$(count failed)" -eq 0 ]
