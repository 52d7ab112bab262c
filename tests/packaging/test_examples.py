"""examples/README.md: its commands, carried out.

The aws CLI is the real one, version 2; S3 is a server here that keeps objects in memory.
"""

import hashlib
import http.server
import os
import re
import shutil
import tempfile
import threading
import unittest
import urllib.parse

import support
from support import DEPLOY, ROOT, read, run, write

BUCKET = "/statements-example/"
CSV = "2026/01/statement one.csv"
ARCHIVE = "2026/01/archive.zip"


class Storage(http.server.BaseHTTPRequestHandler):
    """S3 as far as `aws s3 cp` needs it, and a web site that answers with 200."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if self.command == "PUT":
            self.server.objects[path] = body
            reply = b""
        else:
            reply = self.server.objects.get(path, b"")
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.send_header("ETag", f'"{hashlib.md5(reply).hexdigest()}"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply)

    do_HEAD = do_GET = do_PUT = answer

    def log_message(self, *_):
        pass


def blocks(page):
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", read(os.path.join(ROOT, page)))


class Examples(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = holder.name
        self.programs = os.path.join(self.folder, "programs")
        bootstrap = support.bootstrap()
        # A function that is its own bootstrap names it itself.
        ours = f'case "$*" in *--bootstrap*) ;; *) set -- "$@" --bootstrap {bootstrap} ;; esac'
        self.program("zerostrap", f'{ours}\nexec {DEPLOY}/zerostrap "$@"')
        self.examples = os.path.join(self.folder, "examples")
        shutil.copytree(os.path.join(ROOT, "examples"), self.examples)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage)
        self.server.objects = {BUCKET + CSV: b"1;2\n", BUCKET + ARCHIVE: bytes(range(256))}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def program(self, name, text):
        write(os.path.join(self.programs, name), f"#!/bin/sh\n{text}\n", 0o755)

    def block(self, mark):
        """The commands of the page that name this function."""
        (found,) = [text for text in blocks("examples/README.md") if mark in text]
        return found

    def say(self, mark, **more):
        """What the commands of this function print."""
        text = self.block(mark)
        path = f"{self.programs}:{os.environ['PATH']}"
        env = support.environment(PATH=path, no_proxy="*", **more)
        words = ["bash", "-euo", "pipefail", "-c", text]
        done = run(words, cwd=self.examples, env=env, seconds=600)
        self.assertEqual(done.returncode, 0, text + done.stdout + done.stderr)
        return done.stdout.strip()

    def needs(self, *tools):
        for tool in tools:
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")

    def test_page_has_a_command_for_each_example(self):
        folders = [entry.name for entry in os.scandir(self.examples) if entry.is_dir()]
        functions = sorted(set(folders) - {"events", "settings"})
        self.assertGreater(len(functions), 6)
        for function in functions:
            self.block(f"--task {function} ")
        page = read(os.path.join(self.examples, "README.md"))
        for name in set(os.listdir(self.examples)) - {"README.md"}:
            self.assertIn(f"[{name}]({name}", page)

    def test_hello(self):
        answer = '{"message":"Hello from function","event":{"name":"world"}}'
        self.assertEqual(self.say("--task hello"), answer)

    def test_sqs_orders(self):
        self.needs("jq")
        answer = self.say("--task sqs-orders")
        self.assertRegex(answer, r'^\{"batchItemFailures":\[\{"itemIdentifier":"[0-9a-f-]*"\}\]\}$')

    def test_s3_report(self):
        self.assertTrue(self.say("--task s3-report").startswith('{"objects":2,"bytes":73401344,'))

    def test_s3_checksum_with_the_aws_cli(self):
        self.needs("jq", "sha256sum")
        self.program("aws", f'exec {support.aws_cli()} "$@"')
        answer = self.say("--task s3-checksum", AWS_ENDPOINT_URL=self.endpoint)
        self.assertEqual(answer, '{"objects":2}')
        for key in (CSV, ARCHIVE):
            digest = hashlib.sha256(self.server.objects[BUCKET + key]).hexdigest()
            line = f"{digest}  {os.path.basename(key)}\n"
            self.assertEqual(self.server.objects[f"{BUCKET}{key}.sha256"].decode(), line)

    def test_site_check(self):
        self.needs("curl")
        write(os.path.join(self.examples, "settings", "site-check"), f"SITE={self.endpoint}/\n")
        self.assertTrue(self.say("--task site-check").startswith('{"status":200,'))

    def test_api_digest(self):
        self.needs("jq")
        answer = self.say("--task api-digest")
        self.assertTrue(answer.startswith('{"statusCode":200,"headers":{"X-Content-SHA256":"'))

    def test_compiled(self):
        self.needs("cc")
        self.assertEqual(self.say("--task compiled"), '{"bytes":16,"digits":0,"letters":9}')

    def test_rust(self):
        built = os.path.join(ROOT, "target", "debug", "examples", "context")
        if not os.path.isfile(built):
            self.skipTest("the examples are not built: cargo build --examples")
        there = os.path.join(self.folder, "target", "release", "examples")
        self.program("cargo", f"mkdir -p {there} && cp {built} {there}/")
        answer = self.say("cargo build")
        self.assertTrue(answer.startswith('{"id":"00000000-'), answer)
