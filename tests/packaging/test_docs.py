"""docs/deploy.md and docs/migrating.md: every command in them runs.

The lines of the AWS CLI are carried out by the real one, version 2, whose endpoint is a recorder:
it checks options and values as it would against AWS, and the recorder keeps what AWS would get.
Programs that need a cloud, an engine or a long build are stand-ins that take note of their words.
"""

import base64
import http.server
import io
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import unittest
import urllib.parse
import zipfile

import support
from elf import elf
from support import DOCS, ROOT, read, run, write

STAND_INS = ["make", "docker", "sam", "terraform"]
CSC = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
# What the CLI looks at in AWS's answers; everything else is answered with an empty object.
ANSWERS = {
    ("GET", "/2015-03-31/functions/hello"): {
        "Configuration": {"State": "Active", "LastUpdateStatus": "Successful"}
    },
    ("PUT", "/2015-03-31/functions/hello/code"): {"CodeSha256": "the hash"},
    ("PUT", "/signing-profiles/zerostrap"): {
        "profileVersionArn": "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/zerostrap/1"
    },
    ("POST", "/2020-04-22/code-signing-configs"): {
        "CodeSigningConfig": {"CodeSigningConfigArn": CSC}
    },
}


def blocks(name, language):
    text = read(os.path.join(DOCS, name))
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


class Recorder(http.server.BaseHTTPRequestHandler):
    """Keeps (method, path, headers, body) of each request in the server's list."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urllib.parse.urlsplit(self.path).path
        self.server.seen.append((self.command, path, dict(self.headers), body))
        if b"Action=" in body:
            action = urllib.parse.parse_qs(body.decode())["Action"][0]
            reply = f"<{action}Response><{action}Result/></{action}Response>".encode()
        elif path.endswith("/function.zip"):
            reply = b""
        else:
            reply = json.dumps(ANSWERS.get((self.command, path), {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


class Commands(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = holder.name
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        self.server.seen = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def checkout(self):
        """A folder that looks like this one after a build."""
        for name in ("deploy", "examples"):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(self.folder, name))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("bootstrap", "stands for a package")
        self.zip = packed.getvalue()
        write(os.path.join(self.folder, "dist", "function.zip"), self.zip)
        write(os.path.join(self.folder, "dist", "arm64", "layer.zip"), self.zip)
        write(os.path.join(self.folder, "dist", "arm64", "bootstrap"), elf("arm64"), 0o755)
        programs = os.path.join(self.folder, "programs")
        for name in STAND_INS:
            note = f'#!/bin/sh\necho "{name} $*" >> {self.folder}/words\n'
            write(os.path.join(programs, name), note, 0o755)
        aws = f'#!/bin/sh\nexec {support.aws_cli()} "$@"\n'
        write(os.path.join(programs, "aws"), aws, 0o755)
        return support.environment(
            PATH=f"{programs}:{os.environ['PATH']}",
            AWS_ENDPOINT_URL=self.endpoint,
            REPOSITORY="123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello",
            DIGEST="sha256:" + 64 * "0",
        )

    def test_every_command_of_the_deploy_page_runs(self):
        env = self.checkout()
        found = blocks("deploy.md", "sh")
        for block in found:
            text = block.replace("http://127.0.0.1:9000", self.endpoint)
            done = run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=env)
            self.assertEqual(done.returncode, 0, text + done.stdout + done.stderr)
        self.assertGreater(len(found), 12)
        self.created()
        self.role()
        self.settings()
        words = read(os.path.join(self.folder, "words")).splitlines()
        self.assertIn("make zip TASK=examples/hello HANDLER=function.handler ARCH=arm64", words)
        self.assertEqual(
            [word for word in words if word.startswith("sam ")][0], "sam validate --lint"
        )

    def calls(self, method, path):
        return [s for s in self.server.seen if s[0] == method and s[1].startswith(path)]

    def created(self):
        """Each function is made for provided.al2023 and arm64, from the zip."""
        made = [
            json.loads(call[3])
            for call in self.calls("POST", "/2015-03-31/functions")
            if "invocations" not in call[1]
        ]
        made = {function["FunctionName"]: function for function in made}
        self.assertEqual(sorted(made), ["hello", "layered", "tenants"])
        for function in made.values():
            self.assertEqual(function["Runtime"], "provided.al2023")
            self.assertEqual(function["Architectures"], ["arm64"])
            self.assertEqual(function["Handler"], "function.handler")
        self.assertEqual(base64.b64decode(made["hello"]["Code"]["ZipFile"]), self.zip)
        self.assertEqual(made["hello"]["LoggingConfig"]["LogGroup"], "/aws/lambda/hello")
        self.assertEqual(made["tenants"]["TenancyConfig"], {"TenantIsolationMode": "PER_TENANT"})
        self.assertEqual(len(made["layered"]["Layers"]), 1)
        (code,) = self.calls("PUT", "/2015-03-31/functions/hello/code")
        self.assertEqual(json.loads(code[3])["Architectures"], ["arm64"])

    def role(self):
        forms = [
            urllib.parse.parse_qs(call[3].decode())
            for call in self.calls("POST", "/")
            if b"Action=" in call[3]
        ]
        made, right = forms
        trust = json.loads(made["AssumeRolePolicyDocument"][0])
        (statement,) = trust["Statement"]
        self.assertEqual(statement["Principal"], {"Service": "lambda.amazonaws.com"})
        (statement,) = json.loads(right["PolicyDocument"][0])["Statement"]
        self.assertEqual(
            statement["Resource"],
            "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/hello:*",
        )

    def settings(self):
        changed = self.calls("PUT", "/2015-03-31/functions/hello/configuration")
        variables = [json.loads(call[3])["Environment"]["Variables"] for call in changed]
        self.assertIn({"BOOTSTRAP_RESPONSE_MODE": "streaming"}, variables)
        (url,) = self.calls("POST", "/2021-10-31/functions/hello/url")
        self.assertEqual(
            json.loads(url[3]), {"AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM"}
        )
        events = [call for call in self.server.seen if call[1].endswith("/invocations")]
        self.assertEqual([call[3] for call in events][0], b'{"name":"world"}')
        tenants = [call[2] for call in events if "/tenants/" in call[1]]
        self.assertEqual(tenants[0]["X-Amz-Tenant-Id"], "blue")
        (signing,) = self.calls("PUT", "/2020-06-30/functions/hello/code-signing-config")
        self.assertEqual(json.loads(signing[3]), {"CodeSigningConfigArn": CSC})

    def test_every_command_of_the_migrating_page_runs(self):
        env = self.checkout()
        write(os.path.join(self.folder, "dir", "bootstrap"), "")
        (text,) = blocks("migrating.md", "sh")
        done = run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_links_of_the_pages_lead_somewhere(self):
        for name in ("deploy.md", "migrating.md"):
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", read(os.path.join(DOCS, name))):
                self.assertTrue(os.path.exists(os.path.join(DOCS, link)), f"{name}: {link}")


class Moving(unittest.TestCase):
    def test_function_of_bash_lambda_layer_runs_with_the_adapter_of_the_page(self):
        """Its script is left alone: the response on standard error, the log on standard output."""
        (adapter,) = blocks("migrating.md", "bash")
        old = (
            "handler () {\n    set -e\n    EVENT_DATA=$1\n    echo a line for the log\n"
            '    echo "{\\"event\\":$EVENT_DATA,\\"id\\":\\"$AWS_LAMBDA_REQUEST_ID\\"}" >&2\n}\n'
        )
        with tempfile.TemporaryDirectory() as folder:
            task, tree = os.path.join(folder, "task"), os.path.join(folder, "tree")
            write(os.path.join(task, "index.sh"), old)
            write(os.path.join(task, "adapted.sh"), adapter)
            handler = "adapted.handler_as_before"
            words = ["--bootstrap", support.bootstrap(), "--task", task, "--handler", handler]
            words += ["--arch", support.HERE, "--out", tree]
            done = run([sys.executable, support.PACK, "tree", *words])
            self.assertEqual(done.returncode, 0, done.stderr)
            env = support.environment(LAMBDA_TASK_ROOT=tree)
            bootstrap = os.path.join(tree, "bootstrap")
            with support.under_emulator([bootstrap], handler, env, cwd=tree) as server:
                reply = json.loads(server.invoke('{"a":1}'))
                self.assertEqual(reply["event"], {"a": 1})
                self.assertRegex(reply["id"], "^[0-9a-f-]{36}$")
                support.until(lambda: "a line for the log" in server.said(), 10, "the log line")
