#!/bin/sh
# Builds dist/ARCH/bootstrap: one static executable on musl, with std rebuilt for it.
#
#   deploy/build.sh ARCH            ARCH: x86_64 or arm64
#   deploy/build.sh ARCH symbols    the same code as dist/ARCH/bootstrap.symbols, for profilers
#   deploy/build.sh ARCH emulator    the local Runtime API instead, as dist/ARCH/emulator
#   deploy/build.sh ARCH look        looks for the toolchain and builds nothing
#
# In: the source tree and a Rust toolchain: rustup's, or Debian's packages alone. Out:
# dist/ARCH/bootstrap, and dist/ARCH/recipe, one line that says how it was built. The same tree and
# the same toolchain give the same bytes in any folder, for any user, on any day.
# ZEROSTRAP_QUIET=1 leaves out all but errors.
# Exit status: 0 built, 1 the build failed, 3 something is missing that this script cannot get; the
# last line is then the command that gets it.
set -eu

# The way std is rebuilt is not stable yet; this lets the pinned stable compiler do it.
export RUSTC_BOOTSTRAP=1

say() { printf 'build: %s\n' "$*" >&2; }

# missing WHAT COMMAND
missing() {
    say "$1; run:"
    # Alone on its line, so that it can be pasted.
    printf '%s\n' "$2" >&2
    exit 3
}

case ${1-} in
x86_64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*)
    say "usage: deploy/build.sh x86_64|arm64 [symbols|emulator|look]"
    exit 1
    ;;
esac
symbols=
case ${2-} in
"") what=bootstrap kind=--bin ;;
symbols) what=bootstrap kind=--bin symbols=yes ;;
emulator) what=emulator kind=--example ;;
look) what= ;;
*)
    say "usage: deploy/build.sh x86_64|arm64 [symbols|emulator|look]"
    exit 1
    ;;
esac
arch=$1
target=$machine-unknown-linux-musl
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
target_dir=${CARGO_TARGET_DIR:-target}

# --- The toolchain ---------------------------------------------------------------------------

# Debian's packages for this build, as a command. The compiler of the release itself is too old;
# the packages named -web are the newer ones that Debian keeps for its web browsers.
debian_command() {
    packages="rustc-web cargo-web rust-web-src gcc libc6-dev"
    before=
    case $(uname -m)/$arch in
    x86_64/x86_64 | aarch64/arm64)
        packages="$packages musl-dev"
        # Rounded; compiler and C compiler together, on a system that has neither.
        size="about 220 MB to download"
        ;;
    */x86_64)
        before="dpkg --add-architecture amd64 && "
        packages="$packages gcc-x86-64-linux-gnu musl-dev:amd64"
        size="about 270 MB to download"
        ;;
    *)
        before="dpkg --add-architecture arm64 && "
        packages="$packages gcc-aarch64-linux-gnu musl-dev:arm64"
        size="about 270 MB to download"
        ;;
    esac
    as_root "${before}apt-get update && apt-get install --yes --no-install-recommends $packages"
    # To a shell this is a comment.
    line="$line  # $size"
}

# as_root COMMANDS: puts them into $line, in the form that works for this user on this machine.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        line=$1
    elif command -v sudo >/dev/null; then
        line="sudo sh -c '$1'"
    else
        line="su -c '$1'"
    fi
}

get_command() {
    if [ ! -e /etc/debian_version ] || is_rustups; then
        line="rustup target add $target && rustup component add rust-src"
        is_rustups || line="curl -fsS https://sh.rustup.rs | sh  # about 200 MB to download"
    else
        debian_command
    fi
    printf '%s\n' "$line"
}

# Whether the cargo that will run is rustup's, for then rustup can add to it what is missing.
is_rustups() {
    rustup=$(command -v rustup) && [ "$(dirname "$rustup")" = "$(dirname "$(command -v cargo)")" ]
}

# gcc without the rest, for who has a compiler of Rust.
get_linker() {
    as_root "apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev"
    printf '%s\n' "$line  # about 60 MB to download"
}

command -v cargo >/dev/null || missing "there is no cargo on the PATH" "$(get_command)"
command -v cc >/dev/null || missing "there is no C linker, which build.rs needs" \
    "$(get_linker)"

if is_rustups; then
    by=rustup
    if ! rustc --version >/dev/null 2>&1; then
        channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
        rustup toolchain install "$channel" --profile minimal --no-self-update >&2 ||
            missing "rustup could not install Rust $channel" \
                "rustup toolchain install $channel --profile minimal"
    fi
else
    by=system
fi

release=$(rustc -vV | sed -n 's/^release: //p')
# The code needs no more than Cargo.toml's rust-version; the flags below do.
oldest=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
minor() { expr "$1" : '1\.\([0-9]*\)'; }
[ "$(minor "$release")" -ge "$(minor "$oldest")" ] ||
    missing "Rust $release is older than $oldest" "$(get_command)"

sysroot=$(rustc --print sysroot)
source=$sysroot/lib/rustlib/src/rust
# What the toolchain brings for the target: std, and a musl of its own with its start files.
own=$sysroot/lib/rustlib/$target/lib
# What Debian's musl-dev brings.
debian_musl=/usr/lib/$machine-linux-musl

[ -n "$what" ] || exit 0

if [ "$by" = rustup ]; then
    [ -d "$own/self-contained" ] || rustup target add "$target" >&2 ||
        say "rustup could not add the target $target"
    [ -f "$source/library/Cargo.lock" ] || rustup component add rust-src >&2 ||
        say "rustup could not add rust-src"
fi

# --- How std is had --------------------------------------------------------------------------

# Cargo's arguments are collected in "$@".
set -- build --release --locked "$kind" "$what" --target "$target"

# std has dependencies of its own, locked beside its source. Debian brings them along; otherwise
# Cargo fetches them, once, from its registry.
std=prebuilt
if [ -f "$source/library/Cargo.lock" ]; then
    if [ -d "$source/library/vendor" ]; then
        std=rebuilt
        set -- "$@" --offline --config "source.crates-io.replace-with = 'std'" \
            --config "source.std.directory = '$source/library/vendor'"
    elif cargo fetch --quiet --locked --target "$target" \
        --manifest-path "$source/library/Cargo.toml" >&2; then
        std=rebuilt
    else
        say "the crates that std's source depends on could not be fetched"
    fi
else
    say "std's source, rust-src, is not here"
fi
if [ "$std" = rebuilt ]; then
    set -- "$@" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
elif [ -d "$own/self-contained" ]; then
    say "so std is not rebuilt with the program: it will be about 0.3 MB larger"
else
    missing "neither std for $target nor its source is here" "$(get_command)"
fi

# --- The compiler's flags --------------------------------------------------------------------

# Separated by a character that no path holds, so that folders may have blanks in their names.
# Setting them here also shuts out whatever RUSTFLAGS the user has.
separator=$(printf '\037')
CARGO_ENCODED_RUSTFLAGS=
flag() {
    CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS:+$CARGO_ENCODED_RUSTFLAGS$separator}$1
}

# No folder of the machine in the binary.
flag "--remap-path-prefix=$root=/zerostrap"
flag "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
flag "--remap-path-prefix=$source=/rust"
# musl makes relocated data read-only after the start in shared libraries only, so a static program
# has no use for a segment of its own for that data. Without it the start touches two pages less.
flag -Crelro-level=off
# A panic ends the process and nothing walks the stack: neither tables nor messages for that.
flag -Cforce-unwind-tables=no
if [ "$std" = rebuilt ]; then
    flag -Zunstable-options
    flag -Cpanic=immediate-abort
    # Nothing prints a value for debugging, or the place of a panic.
    flag -Zfmt-debug=none
    flag -Zlocation-detail=none
fi

if [ -d "$own/self-contained" ]; then
    # The toolchain's own linker and musl: nothing of the machine gets into the binary.
    linker=rust-lld
    # One bit a relocation instead of 24 bytes. Its musl is new enough for that, Debian's is not.
    [ "$std" != rebuilt ] || flag -Clink-arg=--pack-dyn-relocs=relr
else
    linker=$machine-linux-gnu-gcc
    if [ ! -e "$debian_musl/libc.a" ] || ! command -v "$linker" >/dev/null; then
        missing "neither the target $target nor Debian's musl for it is here" "$(get_command)"
    fi
    # std names libunwind; with immediate-abort nothing in it is used. An archive of nothing does.
    mkdir -p "$target_dir/no-unwinder"
    printf '!<arch>\n' >"$target_dir/no-unwinder/libunwind.a"
    flag "-Lnative=$(cd "$target_dir/no-unwinder" && pwd -P)"
    flag "-Lnative=$debian_musl"
    flag "-Lnative=$(dirname "$("$linker" -print-libgcc-file-name)")"
    flag -Clink-arg=-Wl,--build-id=none
fi
flag "-Clinker=$linker"
export CARGO_ENCODED_RUSTFLAGS

# What else of the user's could change the bytes.
export CARGO_INCREMENTAL=0
for name in $(env | sed -n 's/^\(CARGO_PROFILE_RELEASE_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
# The profile of Cargo.toml once more, and Cargo's defaults for what it leaves out: here they count for
# more than the user's config.toml.
profile=$(sed -n '/^\[profile\.release\]$/,/^$/s/ = /=/p' Cargo.toml)
# shellcheck disable=SC2086 # One word a setting.
for setting in $profile debug=false 'split-debuginfo="off"' debug-assertions=false \
    overflow-checks=false incremental=false rpath=false; do
    set -- "$@" --config "profile.release.$setting"
done

# --- The build -------------------------------------------------------------------------------

if [ -n "$symbols" ]; then
    target_dir=$target_dir/symbols
    set -- "$@" --config 'profile.release.strip="none"'
fi
set -- "$@" --target-dir "$target_dir"

recipe="$target, Rust $release ($by), std $std, linked by $linker"
# A caller that has other things to say wants to hear of errors only.
if [ -n "${ZEROSTRAP_QUIET-}" ]; then
    set -- "$@" --quiet
else
    say "$recipe"
fi
cargo "$@"

if [ -n "$symbols" ]; then
    mkdir -p "dist/$arch"
    install -m 0755 "$target_dir/$target/release/bootstrap" "dist/$arch/bootstrap.symbols"
    exit
fi

# Modes are set and not left to the umask. Removing first leaves a copy that is running alone.
mkdir -p "dist/$arch"
built=$target_dir/$target/release
[ "$kind" = --bin ] || built=$built/examples
install -m 0755 "$built/$what" "dist/$arch/$what"
[ "$kind" != --bin ] || printf '%s\n' "$recipe" >"dist/$arch/recipe"
[ -n "${ZEROSTRAP_QUIET-}" ] || say "dist/$arch/$what, $(wc -c <"dist/$arch/$what") bytes"
