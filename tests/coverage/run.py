#!/usr/bin/env python3
"""Which lines of src/ the tests reach: LLVM's coverage of the whole cargo test suite.

    python3 tests/coverage/run.py [--write] [--again] [argument of cargo test ...]

Out: for each file its lines and regions, then each run of lines that no test reaches; at the end
whether docs/coverage.md gives a reason for each of them and for no other. Status 1 if not, 2 if
tests failed. --write brings the page's table up to date and keeps its reasons. With arguments (as
`--test shell`) a part of the suite is run, and the page is not looked at.

--again takes the counters that the last run left.

The lines are left in TARGET/coverage/lines.json too: {file: {line: times}}; `make audit` shows them.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/coverage.md"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "coverage"
PROFILES = TARGET / "profiles"

# The counters lie in a file that each process maps: `_exit` and SIGKILL lose none of them. The file's
# name is linked in, since many processes are started with an environment of their own.
NAME = 'const char __llvm_profile_filename[] = "%s";\n'
FUNCTION = re.compile(r'\s*(pub(\(\w+\))? )?(const |unsafe |extern "C" )*fn ')
LINKER = "#!/bin/sh\nexec cc -Wl,--allow-multiple-definition '%s' \"$@\"\n"


def run(*command, **options):
    return subprocess.run(command, cwd=ROOT, check=True, text=True, **options)


def tools():
    host = next(
        line.split()[1]
        for line in run("rustc", "-vV", stdout=subprocess.PIPE).stdout.splitlines()
        if line.startswith("host:")
    )
    sysroot = run("rustc", "--print", "sysroot", stdout=subprocess.PIPE).stdout.strip()
    folder = pathlib.Path(sysroot, "lib/rustlib", host, "bin")
    if not (folder / "llvm-cov").exists():
        sys.exit("skipped: coverage: rustup component add llvm-tools")
    return folder


def build():
    """The environment that builds with counters."""
    source, linker = TARGET / "name.c", TARGET / "linker"
    source.write_text(NAME % (PROFILES / "%m%c.profraw"))
    run("cc", "-c", str(source), "-o", str(source.with_suffix(".o")))
    # rustc names a file itself: of two definitions the linker takes the first.
    linker.write_text(LINKER % source.with_suffix(".o"))
    linker.chmod(0o755)
    flags = ["-Cinstrument-coverage", "-Cllvm-args=-runtime-counter-relocation"]
    flags.append(f"-Clinker={linker}")
    flags = os.environ.get("RUSTFLAGS", "").split() + flags
    environment = {name: value for name, value in os.environ.items() if name != "RUSTFLAGS"}
    return environment | {
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
        "CARGO_TARGET_DIR": str(TARGET),
        # Counters need no debug information, and without it all is built in half the time.
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "CARGO_INCREMENTAL": "0",
    }


def executables(environment, arguments):
    command = ["cargo", "test", "--locked", "--no-run", "--message-format=json", *arguments]
    for line in run(*command, env=environment, stdout=subprocess.PIPE).stdout.splitlines():
        executable = line.startswith("{") and json.loads(line).get("executable")
        if executable:
            yield executable


def measured(folder, objects):
    """{file: Counter of lines}, and {file: (regions, of them reached)}."""
    profile = TARGET / "all.profdata"
    raw = [str(path) for path in PROFILES.glob("*.profraw")]
    run(folder / "llvm-profdata", "merge", "--failure-mode=warn", "-o", profile, *raw)
    objects = [word for path in objects for word in ("--object", path)]
    command = [folder / "llvm-cov", "export", "--instr-profile", profile, *objects[1:]]
    command += ["--ignore-filename-regex", r"(/rustc/|\.cargo|/tests/|/examples/|build\.rs)"]
    out = run(*command, "--format=lcov", stdout=subprocess.PIPE).stdout
    lines, file = {}, None
    for line in out.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            file = os.path.relpath(rest, ROOT)
            lines.setdefault(file, collections.Counter())
        elif kind == "DA":
            number, times = rest.split(",")[:2]
            lines[file][int(number)] += int(times)
    out = run(*command, "--summary-only", stdout=subprocess.PIPE).stdout
    regions = {
        os.path.relpath(entry["filename"], ROOT): entry["summary"]["regions"]
        for entry in json.loads(out)["data"][0]["files"]
    }
    return {f: l for f, l in lines.items() if f.startswith("src/")}, regions


def without_tests(file, lines):
    """The lines before the file's unit tests."""
    text = (ROOT / file).read_text().splitlines()
    end = next((at for at, line in enumerate(text) if line == "#[cfg(test)]"), len(text))
    return text, {number: times for number, times in lines.items() if number <= end}


def runs(text, lines):
    """Each run of lines that nothing reached, within one function: first, last and the first's text.
    Lines without code may lie within."""
    found, open_run = [], None
    for number in sorted(lines):
        if lines[number]:
            open_run = None
        elif open_run and not FUNCTION.match(text[number - 1]):
            open_run[1] = number
        else:
            open_run = [number, number]
            found.append(open_run)
    return [(first, last, text[first - 1].strip()) for first, last in found]


def page_rows():
    """{(file, code, lines): reason} of the page's table."""
    rows = collections.OrderedDict()
    if PAGE.exists():
        for line in PAGE.read_text().splitlines():
            cells = [cell.strip() for cell in line.replace("\\|", "\0").split("|")]
            if len(cells) == 6 and cells[1].startswith("`src/"):
                file, code, count, reason = [cell.replace("\0", "|") for cell in cells[1:5]]
                rows[(file.strip("`"), code.strip("`").strip(), int(count))] = reason
    return rows


def write_page(found):
    old = page_rows()
    by_code = {key[:2]: reason for key, reason in old.items()}
    lines = ["| file | from this line on | lines | why no test reaches it |", "|---|---|---|---|"]
    for file, code, count in found:
        reason = by_code.get((file, code), "TODO")
        code = code.replace("|", "\\|")
        lines.append(f"| `{file}` | `{code}` | {count} | {reason} |")
    before = PAGE.read_text().split("| file | from")[0]
    PAGE.write_text(before + "\n".join(lines) + "\n")


def main():
    arguments = sys.argv[1:]
    write = "--write" in arguments
    again = "--again" in arguments
    arguments = [word for word in arguments if word not in ("--write", "--again")]
    folder = tools()
    if not again:
        shutil.rmtree(PROFILES, ignore_errors=True)
        PROFILES.mkdir(parents=True)
    environment = build()
    objects = sorted(set(executables(environment, arguments)))
    status = 0
    if not again:
        # Building ran what is instrumented, too: the build script.
        for path in PROFILES.iterdir():
            path.unlink()
        tests = ["cargo", "test", "--locked", "--no-fail-fast", *arguments]
        status = subprocess.run(tests, cwd=ROOT, env=environment).returncode
    by_file, regions = measured(folder, objects)

    found, total = [], [0, 0]
    print(f"{'file':45}{'lines':>14}{'regions':>16}")
    places = []
    kept = {}
    for file in sorted(by_file):
        text, lines = without_tests(file, by_file[file])
        kept[file] = lines
        reached = sum(1 for times in lines.values() if times)
        total = [total[0] + reached, total[1] + len(lines)]
        region = regions.get(file, {"covered": 0, "count": 0})
        print(
            f"{file:45}{reached:>6} of {len(lines):>4}"
            f"{region['covered']:>8} of {region['count']:>4}"
        )
        for first, last, code in runs(text, lines):
            found.append((file, code, last - first + 1))
            places.append(f"{file}:{first}" + (f"-{last}" if last > first else "") + f": {code}")
    print(f"{'all of them':45}{total[0]:>6} of {total[1]:>4}")
    print("\nNo test reaches:")
    print("\n".join(places))
    (TARGET / "lines.json").write_text(json.dumps(kept))
    if arguments:
        return 2 if status else 0
    if write:
        write_page(found)
    page, missing = page_rows(), 0
    for row in found:
        if page.get(row, "TODO") == "TODO":
            missing += 1
            print(f"docs/coverage.md has no reason for {row[0]}: {row[1]} ({row[2]} lines)")
    for row in page:
        if row not in found:
            missing += 1
            print(f"docs/coverage.md names what is reached: {row[0]}: {row[1]} ({row[2]} lines)")
    print(f"coverage: {total[0]} of {total[1]} lines, {len(found)} places without a test")
    return 1 if missing else 2 if status else 0


if __name__ == "__main__":
    sys.exit(main())
