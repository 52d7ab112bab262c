"""docs/rust-functions.md: its program and its commands, from `cargo new` to the function on Lambda.

The page is followed below target/, so that the pinned compiler does it. Where its crates or its
targets cannot be had, that is said.
"""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import zipfile

import support
from support import DEPLOY, DOCS, HERE, ROOT, environment, read, run, until, write
from test_docs import WithRecorder

WORK = os.path.join(ROOT, "target", "rust-page")
HELLO = os.path.join(WORK, "hello")
PAGE = read(os.path.join(DOCS, "rust-functions.md"))
ROLE = "arn:aws:iam::123456789012:role/hello"


def blocks(language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE)


def there(text):
    """The page's commands, for this machine's architecture."""
    if HERE == "x86_64":
        return text
    for word in ("program=target/", "--arch ", "--architectures "):
        arch = "aarch64" if word.startswith("program") else HERE
        text = text.replace(f"{word}x86_64", f"{word}{arch}")
    return text


class RustPage(WithRecorder):
    def shell(self, text, cwd, env, seconds=1200):
        return run(["bash", "-euo", "pipefail", "-c", text], seconds, cwd=cwd, env=env)

    def project(self):
        """What the page's first part leads to."""
        if shutil.which("rustup") is None:
            self.skipTest("there is no rustup, by which the page gets Rust's targets")
        os.makedirs(WORK, exist_ok=True)
        shutil.rmtree(HELLO, ignore_errors=True)
        link = os.path.join(WORK, "zerostrap")
        if not os.path.islink(link):
            os.symlink(ROOT, link)
        commands, *_ = blocks("sh")
        done = self.shell(commands, WORK, environment(CARGO_NET_RETRY="0"))
        said = done.stderr.strip().splitlines()
        if done.returncode != 0 and re.search(r"(?i)network|download|resolve|connect", done.stderr):
            self.skipTest(f"serde_json or a target could not be had: {said[-1]}")
        self.assertEqual(done.returncode, 0, done.stderr)
        program, *_ = blocks("rust")
        (settings,) = blocks("toml")
        write(os.path.join(HELLO, "src", "main.rs"), program)
        write(os.path.join(HELLO, ".cargo", "config.toml"), settings)

    def test_page_leads_from_cargo_new_to_a_function_on_lambda(self):
        self.project()
        programs = os.path.join(self.folder, "programs")
        write(os.path.join(programs, "aws"), f'#!/bin/sh\nexec {support.aws_cli()} "$@"\n', 0o755)
        os.symlink(os.path.join(DEPLOY, "zerostrap"), os.path.join(programs, "zerostrap"))
        path = f"{programs}:{os.environ['PATH']}"
        env = environment(PATH=path, AWS_ENDPOINT_URL=self.endpoint, ROLE=ROLE)
        _, commands, _ = blocks("sh")
        done = self.shell(there(commands), HELLO, env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.startswith('{"hello":"you"}'), done.stdout)
        for target in ("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"):
            program = os.path.join(HELLO, "target", target, "release", "hello")
            self.assertLess(os.path.getsize(program), 1_000_000, target)
        (made,) = [json.loads(call[3]) for call in self.server.seen if call[0] == "POST"]
        self.assertEqual((made["Runtime"], made["Role"]), ("provided.al2023", ROLE))
        self.assertEqual(made["Architectures"], [HERE])
        packed = zipfile.ZipFile(io.BytesIO(base64.b64decode(made["Code"]["ZipFile"])))
        self.assertEqual(packed.namelist(), ["bootstrap"])
        self.fails(env)

    def fails(self, env):
        """The error that the program's own text makes."""
        invoke = there('zerostrap invoke --bootstrap "$program" --event "{}"')
        (program,) = re.findall(r"(?m)^program=.*$", PAGE)
        done = self.shell(f"{there(program)}\n{invoke}", HELLO, env)
        self.assertEqual(done.returncode, 1, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(document["errorType"], "Function.Error")
        self.assertEqual(document["errorMessage"], "the event has no name")

    def test_page_by_cargo_lambda(self):
        programs = support.installed("rust")
        self.project()
        port = support.free_port()
        env = environment(PATH=f"{programs}:{os.environ['PATH']}")
        _, _, commands = blocks("sh")
        watch, invoke, build = [line.split("  #")[0].strip() for line in commands.splitlines()]
        words = ["bash", "-c", f"exec {watch} --invoke-port {port}"]
        with open(os.path.join(self.folder, "log"), "w", encoding="utf-8") as log:
            watching = subprocess.Popen(words, cwd=HELLO, env=env, stdout=log, stderr=log)
        try:
            until(lambda: support.listens(port), 60, "cargo lambda watch to listen")
            done = self.shell(f"{invoke} --invoke-port {port}", HELLO, env)
        finally:
            watching.send_signal(signal.SIGINT)
            watching.wait(60)
        said = read(os.path.join(self.folder, "log"))
        self.assertEqual(done.returncode, 0, done.stderr + said)
        self.assertEqual(done.stdout.strip(), '{"hello":"you"}', said)
        done = self.shell(build, HELLO, env)
        self.assertEqual(done.returncode, 0, done.stderr)
        built = os.path.join(HELLO, "target", "lambda", "hello", "bootstrap")
        packed = os.path.join(self.folder, "function.zip")
        zerostrap = [os.path.join(DEPLOY, "zerostrap"), "zip", "--arch", "x86_64"]
        done = run([*zerostrap, "--bootstrap", built, "--out", packed], env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
