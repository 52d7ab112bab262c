#!/bin/sh
# What an auditor asks first; `make audit` runs it after a build. Out: the reading order with line
# counts, the unsafe inventory, dependencies, system calls, and the sha256 of what was built.
# All of it and the source itself in one file: dist/audit.html.
# Status 1 if a page says of the code what is not so.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

# A part of a page: from its heading to the next one.
section() { awk -v heading="## $2" '/^## /{ on = $0 == heading } on && /^\|/' "$1"; }

heading() { printf '\n=== %s\n' "$1"; }

heading "reading order (docs/audit.md explains each file)"
section docs/audit.md "Reading order"

heading "unsafe: every line of src/ that has it (SECURITY.md says why each is sound)"
grep -rnE '^[^/]*unsafe( \{| extern|\()' src

heading "dependencies: packages in Cargo.lock besides the program itself"
echo "$(($(grep -c '^\[\[package\]\]$' Cargo.lock) - 1))"

heading "system calls (docs/system-calls.md has the reasons)"
section docs/system-calls.md "Calls" | sed -n 's/^| `\([a-z0-9_]*\)`.*/\1/p' | sort | paste -s -d ' ' | fold -s -w 100

heading "artefacts"
# Other folders of dist hold packages, whose bootstraps are copies of these.
for bootstrap in dist/x86_64/bootstrap dist/arm64/bootstrap; do
    [ -e "$bootstrap" ] || continue
    sha256sum "$bootstrap"
    cat "${bootstrap%/*}/recipe"
done

heading "all of it in one file, to read or to print"
python3 tests/audit/page.py

heading "whether the pages are true of the code"
cargo test --quiet --locked --test tidy --test syscalls -- --show-output
