#!/usr/bin/env python3
"""Runs handlers under the Runtime APIs that people really run.

    python3 tests/servers/run.py [part of a server's name ...]
    python3 tests/servers/run.py --losses EVENTS

Out: a line for each server with each kind of handler, and for each test beside them, with what
failed; a line `skipped: ...` for each server that is not to be had; a table of all cells; and a
closing line that counts. With --losses only the measurement of
losses.py, each time with so many events.

BOOTSTRAP is the bootstrap under test; otherwise it is the one that make built.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import json
import os
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True

import losses  # noqa: E402
from hosts import CargoLambda, Failed, Handler, Own, Rie, support  # noqa: E402
from hosts import cargo_lambda, emulator, node  # noqa: E402

# Seconds that an event may take: where it is to overrun, and elsewhere.
SHORT, LONG = 1, 60

LINES = b"".join(b"line %d of a text\n" % number for number in range(400))
EVENTS = {
    "1 B": b"1",
    "1 KB": b'"' + b"k" * 1_022 + b'"',
    "100 KB": b'"' + b"h" * 102_398 + b'"',
    "5 MB": b'"' + bytes(b"0123456789abcdef") * 327_679 + b'"',
    "UTF-8": '{"text":"Grüße, 世界, 🎉, \u2028"}'.encode(),
    # Every byte, NULs and line ends too. At the end stands none that a shell's `$(...)` takes.
    "binary": bytes(range(256)) * 9 + b"\x00\r\n\xff",
    "empty": b"",
}
CASES = [*EVENTS, "error", "time-out", "stream"]

# What server.py and server.js do in the ways that they can be told; Node has no HTTP/1.0.
MANNERS = {
    "HTTP/1.0": "1.0",
    "kept alive": "",
    "chunked": "chunked",
    "Connection: close": "close",
    "closes silently": "silent",
    "answers early": "early",
    "204 first": "polls,prefix",
}


def servers():
    """The rows of the table: a name, how to start one, and what there must be for that."""
    yield "AWS's emulator", Rie, emulator
    yield "cargo lambda", CargoLambda, cargo_lambda
    for program, needs in (("node", node), ("http.server", lambda: None)):
        for name, manners in MANNERS.items():
            if program == "node" and manners == "1.0":
                continue
            yield f"{program}, {name}", functools.partial(Own, program, manners), needs


def expect(got, wanted):
    if got != wanted:
        raise Failed(f"{describe(got)} came in the place of {describe(wanted)}")


def describe(body):
    return f"{len(body)} bytes, {body[:60]!r}"


def expect_error(got, error_type, message=""):
    try:
        document = json.loads(got)
        found = document["errorType"], document["errorMessage"]
    except (ValueError, KeyError, TypeError):
        raise Failed(f"{describe(got)} came in the place of {error_type}") from None
    if found[0] != error_type or message not in found[1]:
        raise Failed(f"{found} came in the place of {error_type}")


def event_comes_back(host, name):
    event = EVENTS[name]
    expect(host.invoke(event), event)


def error_arrives(host):
    expect_error(host.invoke(b'"fail"'), "Function.Own", "own words")
    expect(host.invoke(b"after"), b"after")


def overrun_is_ended(host):
    """By the bootstrap before the server does it, where it can and knows when; and the next event
    is served, whoever ended it."""
    got = host.invoke(b'"overrun"')
    if host.knows_deadlines and not host.handler.is_library:
        expect_error(got, "Function.TimedOut")
    elif host.own_words not in got:
        raise Failed(f"{describe(got)} came in the place of {host.own_words!r}")
    host.after_overrun()
    expect(host.invoke(b"after"), b"after")


def stream_arrives(host):
    """Streams that go well, with one between them that fails after its head went out."""
    head = [b'{"statusCode":200,"cookies":[]}', b"\0" * 8]
    for text in (LINES, EVENTS["5 MB"], b'"fail"', LINES):
        if host.handler.is_library:
            # The example sends a line of its event at a time, the head too, and does not fail.
            head = [part.rstrip(b"\n") + b"\n" for part in head]
            event = b"".join(head) + text
        else:
            event = text
            text = b"" if text == b'"fail"' else text
        expect(host.invoke(event), (b"" if host.strips_head else b"".join(head)) + text)
    if not host.handler.is_library and host.said().count("Function.ExitNonZero") != 1:
        raise Failed(f"the log does not tell of one failure: {host.last_words()}")


class Row:
    """One server with one kind of handler: its cells, and why those are not well that are not."""

    def __init__(self, name, start, handler):
        self.name, self.start, self.handler = name, start, handler
        self.cells = {}
        self.why = {}

    def run(self):
        plain = {name: functools.partial(event_comes_back, name=name) for name in EVENTS}
        self.group(self.handler, LONG, {**plain, "error": error_arrives})
        self.group(self.handler, SHORT, {"time-out": overrun_is_ended})
        self.group(self.handler.streaming(self.handler.streams), LONG, {"stream": stream_arrives})

    def group(self, handler, limit, cases):
        """Cases for one process, as far as it lives: after a failure the rest has another."""
        left = list(cases)
        while left:
            try:
                with self.start(handler, limit) as host:
                    while left:
                        cases[left[0]](host)
                        host.check()
                        self.cells[left.pop(0)] = "ok"
            except (Failed, AssertionError) as why:
                self.cells[left[0]] = "FAILED"
                self.why[left.pop(0)] = str(why)


def print_table(rows):
    columns = ["server", "handler", *CASES]
    lines = [columns] + [
        [row.name, row.handler.name, *(row.cells.get(case, "–") for case in CASES)] for row in rows
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())


# --- Beside the table ------------------------------------------------------------------------


def event_without_a_length_is_refused(version, handler):
    """A cut event looks the same. The log says what is missing, and what to ask the server for."""
    with Own("http.server", f"bare,{version}", handler, LONG) as host:
        ends_after_event(host)
        if "the reply has no Content-Length" not in host.said():
            raise Failed(f"the log does not tell of it: {host.last_words()}")
        host.check()


def protocol_is_not_switched(handler):
    """101 is the last reply of HTTP on its connection, not one that another follows."""
    with Own("http.server", "switch", handler, LONG) as host:
        ends_after_event(host)
        if "101" not in host.said():
            raise Failed(f"the log does not tell the status: {host.last_words()}")


def ends_after_event(host):
    try:
        got = host.invoke(b"1")
    except Failed:
        status = host.bootstrap.status()
        if status == 1:
            return
        raise Failed(f"it has status {status}; log: {host.last_words()}") from None
    raise Failed(f"{describe(got)} came, and it should have ended")


def early_refusal_stops_a_stream(manners, status, handler):
    """The event's handler is stopped, the log has the status, and after 4xx comes the next event."""
    with Own("http.server", manners, handler.streaming(handler.endless), LONG) as host:
        # An endless stream, which comes to its end here if the bootstrap makes one.
        event = b"line\n" * 200_000 if handler.is_library else b"1"
        for _ in range(2 if status < 500 else 1):
            try:
                host.invoke(event)
            except Failed:
                if status < 500 or host.bootstrap.status() != 1:
                    raise
        # The caller gets what there is when the connection ends, which may be before the log is
        # written.
        told = f"status {status}"
        with contextlib.suppress(AssertionError):
            support.until(lambda: told in host.said(), 5, told)
        if told not in host.said():
            raise Failed(f"the log does not tell the status: {host.last_words()}")


def cargo_lambda_invokes(handler):
    """Its own command as the caller."""
    with CargoLambda(handler, LONG) as host:
        event = '{"text":"Grüße"}'
        words = [cargo_lambda(), "lambda", "invoke", "-A", "127.0.0.1", "-P", str(host.port)]
        done = support.run([*words, "--data-ascii", event, "function"], seconds=30)
        if done.returncode != 0 or json.loads(done.stdout) != json.loads(event):
            raise Failed(f"{done.stdout[-200:]!r} came; {done.stderr[-200:]!r}")


def none_is_lost(delay, program):
    count = losses.measure(program, 100, delay)
    if count != losses.NONE:
        raise Failed(str(count))


def others(handlers):
    for handler in handlers:
        for version in ("1.0", "1.1"):
            name = f"event of HTTP/{version} without a length, {handler.name}"
            yield name, functools.partial(event_without_a_length_is_refused, version, handler)
        yield f"101 for an event, {handler.name}", functools.partial(
            protocol_is_not_switched, handler
        )
        for manners, status in (("refuse", 400), ("refuse,fail", 503)):
            yield f"early {status} to a stream, {handler.name}", functools.partial(
                early_refusal_stops_a_stream, manners, status, handler
            )
        yield f"cargo lambda invoke, {handler.name}", functools.partial(
            cargo_lambda_invokes, handler
        )
    for name, delay in losses.DELAYS.items():
        yield f"closed without a word {name}", functools.partial(
            none_is_lost, delay, handlers[0].program
        )


# --- The run ---------------------------------------------------------------------------------


def built(*options):
    """The examples of this crate, as cargo builds them; a function from name to program."""
    words = ["cargo", "build", "--quiet", "--locked", *options]
    names = ["servers", "stream"]
    for name in names:
        words += ["--example", name]
    subprocess.run(words, cwd=support.ROOT, check=True)
    target = os.path.join(support.ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
    profile = "release" if "--release" in options else "debug"
    return {name: os.path.join(target, profile, "examples", name) for name in names}


def all_handlers(examples):
    bootstrap = support.bootstrap()
    return [
        Handler("library", examples["servers"], "", examples["stream"], examples["stream"]),
        Handler("executable", bootstrap, "app", "stream", "endless"),
        Handler("shell", bootstrap, "function.handler", "function.stream", "function.endless"),
    ]


def is_there(name, needs):
    try:
        needs()
        return True
    except unittest.SkipTest as why:
        print(f"skipped: servers: {name}: {why}", flush=True)
        return False


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--losses", type=int, metavar="EVENTS")
    words.add_argument("names", nargs="*")
    words = words.parse_args()
    if words.losses:
        return losses.report(built("--release")["servers"], words.losses)
    def is_wanted(name):
        return not words.names or any(word in name for word in words.names)

    began = time.monotonic()
    handlers = all_handlers(built())
    passed, failed, skipped, rows = 0, 0, 0, []
    for name, start, needs in servers():
        if not is_wanted(name):
            continue
        if not is_there(name, needs):
            skipped += 1
            continue
        rows += [Row(name, start, handler) for handler in handlers]
    # Most of a test's time is waiting.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for row in pool.map(lambda row: row.run() or row, rows):
            passed += len(row.cells) - len(row.why)
            failed += len(row.why)
            print(f"{'FAILED' if row.why else 'ok':7} {row.name}, {row.handler.name}", flush=True)
            for case, why in row.why.items():
                print(f"        {case}: {why}", flush=True)
    for name, test in others(handlers):
        if not is_wanted(name):
            continue
        try:
            test()
            passed += 1
            print(f"ok      {name}", flush=True)
        except unittest.SkipTest as why:
            skipped += 1
            print(f"skipped: servers: {name}: {why}", flush=True)
        except (Failed, AssertionError) as why:
            failed += 1
            print(f"FAILED  {name}\n        {why}", flush=True)
    if rows:
        print()
        print_table(rows)
    print(f"\nin {time.monotonic() - began:.0f} s")
    print(f"servers: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
