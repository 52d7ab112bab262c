# shellcheck shell=sh
# To be sourced, at the root of the tree, by what uses the laboratory's machine. Says what is missing
# and ends the script with status 0 where it cannot be; $bootstrap and $offline are the script's.

say() { echo "lab: $*" >&2; }
skip() {
    echo "skipped: the laboratory: $1"
    exit 0
}

# The bootstrap is x86_64's, and so are the floors beside it.
[ "$(uname -m)" = x86_64 ] || skip "it is for x86_64 machines; make bench runs on all"
# shellcheck source=tests/vm/need.sh
. tests/vm/need.sh
need qemu-system-x86_64 qemu-system-x86
need cpio cpio
need gcc "gcc libc6-dev"
need musl-gcc musl-tools
need python3 python3
[ -z "$packages" ] || skip "needs more tools; run: apt-get install$packages"
[ -z "$offline" ] || [ -e target/vm/x86_64-6.1/version ] ||
    skip "no kernel was fetched yet, which takes 45 MB; run: make lab"
if ! tests/vm/system.sh x86_64 6.1; then
    skip "no kernel to boot; the line above says what is missing"
fi
[ -x "$bootstrap" ] || {
    say "$bootstrap is not there; run: make"
    exit 1
}

# fill FOLDER: the bench's server, the floors and the bootstrap, in FOLDER/lab.
fill() {
    lab=$1/lab
    mkdir -p "$lab/task"
    set -- -std=gnu17 -O2 -Wall -Wextra -Werror -static -s
    gcc "$@" -o "$lab/measure" tests/bench/measure.c
    for floor in loop spawn fork; do
        musl-gcc "$@" -o "$lab/$floor" "tests/bench/floors/$floor.c"
    done
    musl-gcc "$@" -o "$lab/task/echo" tests/bench/floors/echo.c
    cp "$bootstrap" "$lab/bootstrap"
    # The path of the shell is written out: a search for it would be in the figure.
    cat >"$lab/task/function.sh" <<'END'
#!/bin/bash
handler() {
    echo "$1"
}
END
}

# boot FOLDER: runs its `main`. No address is random, so that what collides in a table does so in
# every run. Five levels of page tables, which `max` has, are not what most processors have.
boot() {
    APPEND='nokaslr norandmaps' tests/vm/boot.sh x86_64 6.1 "$1" 256 900 \
        -cpu max,-la57 -icount shift=0,sleep=off -rtc base=2026-01-01,clock=vm -seed 1
}
