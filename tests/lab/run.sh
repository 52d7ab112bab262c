#!/bin/sh
# The laboratory: the bench's figures without noise. In a small machine whose clock advances by one
# nanosecond an instruction, the kernel's included, the bench's own server measures the bootstrap
# beside the C floors: its nanoseconds are instructions, and two runs differ by less than 0.1 per cent.
# What it does not show: caches, branches and disks. For times there is `make bench`.
#
#   tests/lab/run.sh            prints the table; status 1 where a figure is worse than its bound
#   tests/lab/run.sh --update   writes tests/lab/bounds from what was measured
#   tests/lab/run.sh --offline  takes a kernel only if it was fetched before
#
# BOOTSTRAP  the artefact under test (default: dist/x86_64/bootstrap)
# STARTS, SHELL_STARTS, EVENTS, SHELL_EVENTS, LARGE   how many of each
# Out: the table; dist/lab.tsv, what was measured; a last line that counts.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)"
bootstrap=${BOOTSTRAP:-dist/x86_64/bootstrap}
update='' offline=
case ${1-} in
--update) update=--update ;;
--offline) offline=1 ;;
esac

# shellcheck source=tests/lab/machine.sh
. tests/lab/machine.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
fill "$scratch/machine"

# As the bench builds them, and in its folder. A part that this machine cannot build is left out.
build() { # NAME FILE COMMAND...
    name=$1 file=target/bench/x86_64-unknown-linux-musl/release/$2
    shift 2
    if env CARGO_TARGET_DIR=target/bench "$@" >"$scratch/log" 2>&1; then
        cp "$file" "$scratch/$name"
    else
        say "$name could not be built: $(grep -m 1 '^error' "$scratch/log" || true)"
    fi
}
# A function on the library is its user's program, optimised for speed as Cargo does it.
build library examples/echo env CARGO_PROFILE_RELEASE_OPT_LEVEL=3 RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS='-Zunstable-options -Cpanic=immediate-abort' \
    cargo build --release --locked -Zbuild-std=std,panic_abort \
    -Zbuild-std-features=optimize_for_size --target x86_64-unknown-linux-musl --example echo
build prebuilt bootstrap \
    cargo build --release --locked --target x86_64-unknown-linux-musl --bin bootstrap
[ ! -e "$scratch/library" ] || mv "$scratch/library" "$scratch/machine/lab/library"

{
    echo '#!/bin/sh'
    echo "export STARTS=${STARTS:-40} SHELL_STARTS=${SHELL_STARTS:-40} EVENTS=${EVENTS:-1200}"
    echo "export SHELL_EVENTS=${SHELL_EVENTS:-450} LARGE=${LARGE:-6}"
    cat tests/lab/main
} >"$scratch/machine/main"
chmod 0755 "$scratch/machine/main"

mkdir -p dist
boot "$scratch/machine" >"$scratch/console" || true
if [ "$(grep '^main: ' "$scratch/console" || true)" != "main: 0" ]; then
    tail -n 20 "$scratch/console"
    echo "lab: 0 passed, 1 failed, 0 skipped"
    exit 1
fi
grep '^\(floor\|ours\)-' "$scratch/console" >dist/lab.tsv

# What the figures depend on, beside the code: bounds of another compiler or machine say little.
recipe=$(cat dist/x86_64/recipe 2>/dev/null || echo unknown)
taken="$recipe; Linux 6.1; $(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9]*\.[0-9]*\).*/QEMU \1/p')"
python3 tests/lab/table.py $update --samples dist/lab.tsv --bounds tests/lab/bounds --taken "$taken" \
    --bootstrap "$bootstrap" --prebuilt "$scratch/prebuilt"
