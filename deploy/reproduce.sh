#!/bin/sh
# Builds both architectures twice and compares: the same tree and toolchain give the same bytes.
#
# Between the two builds everything differs that a machine may differ in and that can be changed
# from here: the folder of the sources, of the user, of Cargo's downloads, of the output; the user's
# name, umask, time zone, language and Cargo profile; the number of jobs; the time, by faketime, or
# where that does not work the age of the files.
# Out: one line an architecture, its sha256 and whether the two are the same; status 1 if not.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

# The two builds have homes of their own; the toolchain stays where it is.
export RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}"
downloads=${CARGO_HOME:-$HOME/.cargo}/registry

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# copy FOLDER: the tree as it is now, with its repository, so that both know the same commit.
copy() {
    mkdir -p "$1"
    tar -c --exclude ./target --exclude ./dist --exclude ./fuzz/target . | tar -x -C "$1"
}

# build FOLDER HOME ARCH [NAME=VALUE...] [COMMAND...]: under these variables, by this command.
build() {
    folder=$1 home=$2 arch=$3
    shift 3
    mkdir -p "$home/.cargo"
    [ ! -d "$downloads" ] || [ -d "$home/.cargo/registry" ] || cp -R "$downloads" "$home/.cargo/"
    (cd "$folder" && env -u CARGO_HOME HOME="$home" "$@" deploy/build.sh "$arch")
}

first=$scratch/first
second="$scratch/second place/deeper"
copy "$first/tree"
copy "$second/tree"
settings=$second/home
mkdir -p "$settings/.cargo"
cat >"$settings/.cargo/config.toml" <<'END'
[profile.release]
opt-level = 3
lto = false
codegen-units = 4
panic = "unwind"
strip = false
debug = true
split-debuginfo = "packed"
debug-assertions = true
overflow-checks = true
incremental = true
rpath = true
END

set -- CARGO_BUILD_JOBS=4 CARGO_TARGET_DIR="$second/output" USER=somebody TZ=Asia/Tokyo \
    LC_ALL=C.UTF-8
# Some compilers hang under faketime, for an allocator of their own: rustup's does, Debian's not.
later='2037-12-31 23:58:00'
if timeout 20 faketime "$later" rustc --version >/dev/null 2>&1; then
    # Cargo must not ask its registry at that time: no certificate would be valid.
    set -- "$@" CARGO_NET_OFFLINE=true faketime "$later"
else
    echo "reproduce: no faketime that works with this rustc: the files are older, the clock is not" >&2
    find "$second/tree" -exec touch -h -d '2001-02-03 04:05:06' {} +
fi

status=0
for arch in x86_64 arm64; do
    one=0
    (umask 022 && build "$first/tree" "$first/home" "$arch" CARGO_BUILD_JOBS=1 \
        CARGO_TARGET_DIR="$first/output") || one=$?
    if [ "$one" -eq 3 ]; then
        echo "skipped: $arch: this machine lacks parts for it (see above)"
        continue
    fi
    [ "$one" -eq 0 ] || exit 1
    (umask 077 && build "$second/tree" "$second/home" "$arch" "$@")

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
