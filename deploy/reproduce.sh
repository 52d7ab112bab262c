#!/bin/sh
# Builds both architectures twice and compares: the same tree and toolchain give the same bytes.
#
# Between the two builds everything differs that a machine may differ in and that can be changed
# from here: the folder of the sources, of the user, of Cargo's downloads, of the output; the user's
# name, umask, time zone and language; the number of jobs; the time, by faketime, or where that is
# not installed the age of the files.
# Out: one line an architecture, its sha256 and whether the two are the same; status 1 if not.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

# The two builds have homes of their own; the toolchain stays where it is.
export RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}"
downloads=${CARGO_HOME:-$HOME/.cargo}/registry

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# copy FOLDER: the tree as it stands, with its repository, so that both know the same commit.
copy() {
    mkdir -p "$1"
    tar -c --exclude ./target --exclude ./dist --exclude ./fuzz/target . | tar -x -C "$1"
}

# build FOLDER HOME ARCH [ENVIRONMENT...]: what both builds have in common is that they know nothing
# of the caller's environment.
build() {
    folder=$1 home=$2 arch=$3
    shift 3
    mkdir -p "$home/.cargo"
    [ ! -d "$downloads" ] || [ -d "$home/.cargo/registry" ] || cp -R "$downloads" "$home/.cargo/"
    (cd "$folder" && env -i PATH="$PATH" RUSTUP_HOME="$RUSTUP_HOME" HOME="$home" "$@" \
        deploy/build.sh "$arch")
}

first=$scratch/first
second="$scratch/second place/deeper"
copy "$first/tree"
copy "$second/tree"

if command -v faketime >/dev/null; then
    # Cargo must not ask its registry at that time: no certificate would be valid.
    later() { CARGO_NET_OFFLINE=true faketime '2037-12-31 23:58:00' "$@"; }
else
    echo "reproduce: faketime is not installed, the clock is the same in both builds" >&2
    find "$second/tree" -exec touch -h -d '2001-02-03 04:05:06' {} +
    later() { "$@"; }
fi

status=0
for arch in x86_64 arm64; do
    one=0
    (umask 022 && build "$first/tree" "$first/home" "$arch" CARGO_BUILD_JOBS=1) || one=$?
    if [ "$one" -eq 3 ]; then
        echo "skipped: $arch: this machine lacks parts for it (see above)"
        continue
    fi
    [ "$one" -eq 0 ] || exit 1
    (umask 077 && later build "$second/tree" "$second/home" "$arch" CARGO_BUILD_JOBS=4 \
        CARGO_TARGET_DIR="$second/output" USER=somebody TZ=Asia/Tokyo LC_ALL=C.UTF-8)

    bootstrap=dist/$arch/bootstrap
    sum=$(sha256sum <"$first/tree/$bootstrap")
    if cmp "$first/tree/$bootstrap" "$second/tree/$bootstrap" >&2; then
        echo "$arch ${sum%% *} same"
    else
        mkdir -p "dist/reproduce"
        cp "$first/tree/$bootstrap" "dist/reproduce/$arch.first"
        cp "$second/tree/$bootstrap" "dist/reproduce/$arch.second"
        echo "$arch DIFFERENT: see dist/reproduce"
        status=1
    fi
done
exit "$status"
