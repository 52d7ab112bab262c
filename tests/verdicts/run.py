#!/usr/bin/env python3
"""Compares our verdict of each response in fuzz/corpus with that of h11.

    python3 tests/verdicts/run.py

Out: a line for each response of which the two think otherwise and docs/http-verdicts.md does not say
so, or says so wrongly; a closing line that counts. h11 is taken from PyPI, into a folder below
target/; where it is not to be had, the line says so.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/http-verdicts.md"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
VENV = TARGET / "verdicts"
H11 = "h11==0.16.0"
NOT_TAKEN = "not taken"


def prepared():
    """Goes on as the Python that has h11."""
    python = VENV / "bin/python"
    if pathlib.Path(sys.prefix) != VENV:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        for command in (
            [sys.executable, "-m", "venv", VENV],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", H11],
        ):
            done = subprocess.run(command, **quiet)
            if done.returncode != 0:
                why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                print(f"skipped: verdicts: {H11} is not to be had: {why}")
                print("verdicts: 0 passed, 0 failed, 1 skipped")
                sys.exit(0)
        os.execv(python, [python, *sys.argv])


def responses():
    """Name and bytes of every response in the corpus."""
    for path in sorted((ROOT / "fuzz/corpus/head").iterdir()):
        yield f"head/{path.name}", path.read_bytes()
    for path in sorted((ROOT / "fuzz/corpus/client").iterdir()):
        # The first byte tells the fuzzer in which pieces the rest is given.
        yield f"client/{path.name}", path.read_bytes()[1:]


def ours(program, response):
    done = subprocess.run([program], input=response, stdout=subprocess.PIPE, check=True)
    verdict = done.stdout.decode().strip()
    return NOT_TAKEN if verdict.startswith(NOT_TAKEN) else verdict


def of_h11(response):
    import h11

    # Headers may be as long as they may be for us.
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_048_576)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    peer.send(h11.EndOfMessage())
    status, body = None, b""
    try:
        for data in (response, b""):
            peer.receive_data(data)
            while True:
                event = peer.next_event()
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                    return "taken 101"
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return f"taken {status:03} {body.hex()}".strip()
                elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(
                    event, h11.ConnectionClosed
                ):
                    break
    except h11.RemoteProtocolError:
        pass
    return NOT_TAKEN


def short(verdict):
    """A verdict as the page has it."""
    return "takes" if verdict.startswith("taken") else "refuses"


def rows():
    """{response: (ours, h11's)} of the page."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and re.fullmatch(r"`(head|client)/.*`", cells[1]):
            found[cells[1].strip("`")] = (cells[2], cells[3])
    return found


def main():
    prepared()
    build = ["cargo", "build", "--quiet", "--locked", "--example", "verdict"]
    subprocess.run(build, cwd=ROOT, check=True)
    program = TARGET / "debug/examples/verdict"
    page, passed, failed = rows(), 0, 0
    for name, response in responses():
        verdicts = (ours(program, response), of_h11(response))
        differ = verdicts[0] != verdicts[1]
        expected = page.pop(name, None)
        if differ and short(verdicts[0]) == short(verdicts[1]):
            said, found = "the same response, read otherwise", verdicts
        else:
            said, found = expected, tuple(map(short, verdicts)) if differ else None
        if said == found:
            passed += 1
        else:
            failed += 1
            print(f"FAILED {name}: we and h11: {found}, the page: {expected}: {verdicts}"[:300])
    for name in page:
        failed += 1
        print(f"FAILED {name}: the page has a row for no response")
    print(f"verdicts: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
