#!/bin/sh
# Boots a small machine of one processor and runs a script in it.
#
#   tests/vm/boot.sh x86_64|arm64 5.10|6.1 FOLDER MEGABYTES SECONDS [QEMU_OPTION...]
#
# In: what system.sh got, and FOLDER, which is put over it; its `main` is a program, which runs as root,
# with a /proc, /sys, /dev and /tmp. APPEND: more words for the kernel's line. Out: what the machine wrote
# to its console; the last line, `main: N`, has main's status. A machine that has not ended after
# SECONDS is stopped.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
system=$root/target/vm/$1-$2
folder=$3 memory=$4 seconds=$5
case $1 in
x86_64)
    qemu=qemu-system-x86_64 machine=q35 cpu=max console=ttyS0
    ;;
arm64)
    # The pointer authentication of the architecture is slow to emulate; this one is not.
    qemu=qemu-system-aarch64 machine=virt cpu=max,pauth-impdef=on console=ttyAMA0
    ;;
esac
shift 5

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# A kernel takes several archives one after the other; later files replace earlier ones.
pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --owner 0:0 --reproducible); }
mkdir "$scratch/init"
cp "$root/tests/vm/init" "$scratch/init/init"
chmod 0755 "$scratch/init/init"
{
    pack "$system/root"
    pack "$scratch/init"
    pack "$folder"
} | gzip -1 -n >"$scratch/initrd"

timeout "$seconds" "$qemu" -M "$machine" -cpu "$cpu" -m "$memory" -smp 1 -no-reboot \
    -display none -nodefaults -serial stdio -monitor none -net none \
    -kernel "$system/linux" -initrd "$scratch/initrd" \
    -append "console=$console quiet panic=-1 rdinit=/init ${APPEND-}" "$@" </dev/null | sed -u 's/\r$//'
