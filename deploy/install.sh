#!/bin/sh
# Puts the command `zerostrap` and what it needs into a folder; `make install` and the release call
# it.
#
#   deploy/install.sh PREFIX [ARCH]    ARCH: of the machine that it is for (this one)
#
# Out: PREFIX/bin/zerostrap and PREFIX/lib/zerostrap: the local Runtime API, static where that can be
# built; a bootstrap for each architecture that can be built here; the packer and its list.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

say() { printf 'install: %s\n' "$*" >&2; }

prefix=${1:?the folder to install into}
case $(uname -m) in
aarch64) here=arm64 ;;
*) here=$(uname -m) ;;
esac
arch=${2:-$here}

for each in x86_64 arm64; do
    status=0
    deploy/build.sh "$each" || status=$?
    # 3: the other architecture's parts are missing. Functions of this one can be packed.
    [ "$status" -eq 0 ] || { [ "$status" -eq 3 ] && [ "$each" != "$arch" ]; } || exit "$status"
    [ "$status" -eq 0 ] || say "without a bootstrap for $each"
done
deploy/build.sh "$arch" emulator

lib=$prefix/lib/zerostrap
umask 022
mkdir -p "$prefix/bin" "$lib"
for each in x86_64 arm64; do
    [ -f "dist/$each/bootstrap" ] || continue
    mkdir -p "$lib/$each"
    install -m 0755 "dist/$each/bootstrap" "$lib/$each/bootstrap"
done
install -m 0755 "dist/$arch/emulator" "$lib/emulator"
install -m 0644 deploy/pack.py deploy/provided.al2023.commands "$lib/"
install -m 0755 deploy/zerostrap "$prefix/bin/zerostrap"
say "$prefix/bin/zerostrap"
