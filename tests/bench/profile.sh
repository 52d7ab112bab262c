#!/usr/bin/env bash
# Where the time goes: the system calls of the start-up and of one event of each kind, ours and the floor's, then
# instructions, page faults, relocations and sections. Deterministic figures; takes what run.sh built (run it first).
#
# The main process only, as the budgets count it. A line an event, from the first receive to the next GET /next.
set -euo pipefail
cd "$(dirname "$0")/../../dist/bench"

for need in strace:strace readelf:binutils size:binutils; do
    if ! command -v "${need%:*}" > /dev/null; then
        echo "profile: needs ${need%:*}; run: apt-get install ${need#*:}" >&2
        exit 1
    fi
done

gcc -std=gnu17 -O2 -Wall -Wextra -Werror -o steps ../../tests/bench/steps.c

# TITLE PROGRAM HANDLER BYTES: the start-up, and the third event.
calls() {
    [ -x "$2" ] || return 0
    ./measure trace 4 "$4" "$1:$3:$PWD/task:$(command -v strace):-o:$PWD/profile.strace:-s:72:$PWD/$2" 2> profile.log ||
        { cat profile.log; exit 1; }
    awk -v title="$1" '
        /^[a-z_0-9]+\(/ { calls++ }
        asks == 0 || asks == 3 { lines = lines $0 "\n"; split($0, name, "("); if (/^[a-z_0-9]+\(/) count[name[1]]++ }
        /"GET \/2018-06-01\/runtime\/invocation\/next/ {
            if (asks == 0) printf "\n== %s: start-up, %d system calls\n\n%s", title, calls, lines
            if (asks == 3) printf "\n== %s: one event, %d system calls\n\n", title, calls
            if (asks == 3 && calls <= 60) printf "%s", lines
            if (asks == 3 && calls > 60) for (call in count) printf "%6d %s\n", count[call], call
            asks++; calls = 0; lines = ""; delete count
        }' profile.strace
}

# PROGRAM HANDLER EVENTS: the user-space instructions of the main process in a run of so many events.
instructions() {
    ./measure trace "$3" 64 "$1:$2:$PWD/task:$PWD/steps:$PWD/profile.steps:$PWD/$1" 2> profile.log ||
        { cat profile.log >&2; exit 1; }
    cat profile.steps
}

calls "C, the loop alone" loop echo 64
calls "library, in process" library echo 64
calls "C, posix_spawn" spawn ./echo 64
calls "executable" bootstrap echo 64
calls "C, posix_spawn, 6 MB" spawn ./echo 6291456
calls "executable, 6 MB" bootstrap echo 6291456
calls "C, warm bash" fork function.handler 64
calls "shell function" bootstrap function.handler 64

printf '\n== instructions of the main process: exec to exit with one event, then for each event more\n\n'
for one in "loop echo" "library echo" "spawn ./echo" "bootstrap echo" "fork function.handler" "bootstrap function.handler"; do
    read -r program handler <<< "$one"
    [ -x "$program" ] || continue
    none=$(instructions "$program" "$handler" 1)
    many=$(instructions "$program" "$handler" 3)
    printf '%-32s %10d %10d\n' "$one" "$none" $(((many - none) / 2))
done

printf '\n== page faults before the first event and after the last, with the peak in KiB\n\n'
./measure events 200 64 "loop:echo:$PWD/task:$PWD/loop" "spawn:./echo:$PWD/task:$PWD/spawn" \
    "bootstrap:echo:$PWD/task:$PWD/bootstrap" | awk -F '\t' '$1 == "memory" { printf "%-12s %-6s %6d KiB %6d faults\n", $2, $3, $4, $5 }'

for program in loop bootstrap; do
    printf '\n== %s: relocations, segments and sections\n\n' "$program"
    readelf -rW "$program" | grep -E '^Relocation section|offsets$|no relocations'
    readelf -lW "$program" | grep -E 'LOAD|RELRO|TLS|STACK'
    size -A "$program" | grep -vE ' 0$'
done
