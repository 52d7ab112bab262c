#!/usr/bin/env python3
"""Keeps what the fuzzer found: fuzz/keep.py [TARGET ...]

In: the named inputs of fuzz/corpus/TARGET, and what runs left in fuzz/corpus-local/TARGET. Out:
fuzz/found/TARGET, the fewest inputs that reach the code that the named ones do not, in hexadecimal, a
line each. What it held before is judged, too. Needs cargo-fuzz, as README.md says.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

FUZZ = pathlib.Path(__file__).resolve().parent
RUN = ["cargo", "+nightly", "fuzz", "run", "--sanitizer", "none", "-O"]
# Edges alone: how often each was passed makes no input worth keeping.
MERGE = ["--", "-merge=1", "-use_counters=0", "-close_fd_mask=3"]


def keep(target):
    found = FUZZ / "found" / target
    with tempfile.TemporaryDirectory() as scratch:
        merged = pathlib.Path(scratch, "merged")
        before = pathlib.Path(scratch, "before")
        shutil.copytree(FUZZ / "corpus" / target, merged)
        before.mkdir()
        for number, line in enumerate(found.read_text().split() if found.exists() else ()):
            (before / str(number)).write_bytes(bytes.fromhex(line))
        local = FUZZ / "corpus-local" / target
        local.mkdir(parents=True, exist_ok=True)
        command = [*RUN, target, str(merged), str(before), str(local), *MERGE]
        subprocess.run(command, cwd=FUZZ.parent, check=True)
        named = {path.name for path in (FUZZ / "corpus" / target).iterdir()}
        kept = [path.read_bytes() for path in merged.iterdir() if path.name not in named]
    found.parent.mkdir(exist_ok=True)
    lines = sorted(data.hex() for data in kept if data)
    found.write_text("".join(f"{line}\n" for line in lines))
    print(f"{target}: {len(lines)} inputs beside {len(named)} named ones")


for target in sys.argv[1:] or sorted(folder.name for folder in (FUZZ / "corpus").iterdir()):
    keep(target)
