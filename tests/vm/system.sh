#!/bin/sh
# Gets what a small machine boots: a Debian kernel and the few programs beside it. Nothing is
# installed: the packages are unpacked into a folder of their own.
#
#   tests/vm/system.sh x86_64|arm64 5.10|6.1
#
# Out: target/vm/ARCH-LINUX with `linux`, `version` and `root/` (bash, its libraries, busybox). The
# folder is kept; where it is there, nothing is fetched. 5.10 and 6.1 are the kernels under Lambda;
# Debian 11 and 12 have them too. About 35 MB for 5.10 and 45 MB for 6.1.
#
# DEBIAN_MIRROR  where from (default: where apt on this machine gets Debian from)
# Exit status: 3 where a tool is missing or nothing can be fetched; the last line says what to do.
set -eu

say() { printf 'vm: %s\n' "$*" >&2; }

case $1 in
x86_64) debian=amd64 ;;
arm64) debian=arm64 ;;
*) exit 1 ;;
esac
case $2 in
5.10) suite=bullseye ;;
6.1) suite=bookworm ;;
*) exit 1 ;;
esac

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)"
folder=$PWD/target/vm/$1-$2
[ ! -e "$folder/version" ] || exit 0

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || {
        say "$tool, which Debian and its kin have, is not here"
        exit 3
    }
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || {
    say "Debian's keys are missing; run: apt-get install debian-archive-keyring"
    exit 3
}
# shellcheck disable=SC2016 # apt fills these in, not the shell.
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' |
    sed -n 's/^Debian Debian //p' | head -n 1)}
[ -n "$mirror" ] || {
    say "apt has no Debian mirror here; run again with DEBIAN_MIRROR=http://HOST/debian"
    exit 3
}

mkdir -p target/vm
fresh=$(mktemp -d "$PWD/target/vm/fetch.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$fresh/apt/lists/partial" "$fresh/apt/archives/partial"
printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite" >"$fresh/apt/sources.list"

# apt with lists of its own, so that it neither sees nor changes what this machine has.
apt() {
    tool=$1
    shift
    "$tool" -q -q -o Dir::Etc::sourcelist="$fresh/apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Dir::State::Lists="$fresh/apt/lists" \
        -o Dir::Cache="$fresh/apt" -o Dir::State::status=/dev/null \
        -o APT::Architecture=$debian -o APT::Architectures=$debian -o APT::Sandbox::User=root \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

failed() {
    say "$1 could not be fetched from $mirror"
    exit 3
}

say "fetching Linux $2 for $1"
apt apt-get update >&2 || failed "Debian's list of packages"
kernel=$(apt apt-cache search --names-only "^linux-image-$2\..*-cloud-$debian\$" |
    sed 's/ .*//' | sort -V | tail -n 1)
[ -n "$kernel" ] || failed "a kernel $2"
cd "$fresh"
apt apt-get download "$kernel" bash libc6 libtinfo6 busybox-static >&2 || failed "$kernel"

# Of the kernel its image: what is needed is no module. Of the programs what bash loads.
mkdir -p kernel all root/bin root/lib
dpkg-deb -x "$kernel"_*.deb kernel
mv kernel/boot/vmlinuz-* linux
for package in bash libc6 libtinfo6 busybox-static; do
    dpkg-deb -x "$package"_*.deb all
done
mv all/bin/bash all/bin/busybox root/bin/
case $debian in
amd64)
    mkdir root/lib64
    cp -L all/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 root/lib64/
    ;;
arm64) cp -L all/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1 root/lib/ ;;
esac
for library in libc.so.6 libtinfo.so.6 libdl.so.2; do
    cp -L all/lib/*/$library root/lib/
done
echo "$kernel, $(basename bash_*.deb .deb)" >version
rm -rf apt kernel all ./*.deb
chmod 0755 "$fresh"
rm -rf "$folder"
mv "$fresh" "$folder"
