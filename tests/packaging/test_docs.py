"""README.md, docs/deploy.md and docs/migrating.md: every command in them runs.

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
from support import DEPLOY, DOCS, HERE, ROOT, read, run, write

STAND_INS = ["make", "docker", "sam", "terraform"]
CSC = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
# AWS's archive of its CLI, in small.
UNZIP = """#!/bin/sh
set -eu
mkdir -p aws/dist/awscli/examples aws/dist/awscli/data aws/dist/awscli/botocore
for file in aws aws_completer awscli/data/ac.index awscli/botocore/cacert.pem; do
    echo "$file" >"aws/dist/$file"
done
"""
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
        elif path.endswith(".zip"):
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


class WithRecorder(unittest.TestCase):
    """A folder of its own, and a recorder in the place of AWS."""

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


class Commands(WithRecorder):
    def checkout(self):
        """A folder that looks like this one after a build."""
        for name in ("deploy", "examples"):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(self.folder, name))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("bootstrap", "stands for a package")
        self.zip = packed.getvalue()
        write(os.path.join(self.folder, "dist", "function.zip"), self.zip)
        write(os.path.join(self.folder, "dist", HERE, "layer.zip"), self.zip)
        bootstrap = os.path.join(self.folder, "dist", HERE, "bootstrap")
        shutil.copy(support.bootstrap(), bootstrap)
        # The command is the real one; what it would build is there.
        for name in ("build.sh", "local.sh"):
            path = os.path.join(self.folder, "deploy", name)
            write(path, f"#!/bin/sh\necho {bootstrap}\n", 0o755)
        programs = os.path.join(self.folder, "programs")
        for name in STAND_INS:
            note = f'#!/bin/sh\necho "{name} $*" >> {self.folder}/words\n'
            write(os.path.join(programs, name), note, 0o755)
        write(os.path.join(programs, "curl"), "#!/bin/sh\n", 0o755)
        write(os.path.join(programs, "unzip"), UNZIP, 0o755)
        aws = f'#!/bin/sh\nexec {support.aws_cli()} "$@"\n'
        write(os.path.join(programs, "aws"), aws, 0o755)
        return support.environment(
            PATH=f"{programs}:{os.environ['PATH']}",
            AWS_ENDPOINT_URL=self.endpoint,
            ARCH=HERE,
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
        self.assertIn("make zip TASK=examples/hello HANDLER=function.handler", words)
        for name in ("function.zip", "tools.zip"):
            self.assertTrue(zipfile.is_zipfile(os.path.join(self.folder, "dist", name)), name)
        with zipfile.ZipFile(os.path.join(self.folder, "dist", "cli.zip")) as packed:
            layer = ["aws-cli/aws", "aws-cli/awscli/botocore/cacert.pem", "bin/aws"]
            files = [name for name in packed.namelist() if not name.endswith("/")]
            self.assertEqual(sorted(files), layer)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "dist", "image", "bootstrap")))
        self.assertEqual(
            [word for word in words if word.startswith("sam ")][0], "sam validate --lint"
        )

    def calls(self, method, path):
        return [s for s in self.server.seen if s[0] == method and s[1].startswith(path)]

    def created(self):
        """Each function is made for provided.al2023 and the machine's architecture."""
        made = [
            json.loads(call[3])
            for call in self.calls("POST", "/2015-03-31/functions")
            if "invocations" not in call[1]
        ]
        made = {function["FunctionName"]: function for function in made}
        self.assertEqual(sorted(made), ["hello", "layered", "tenants"])
        for function in made.values():
            self.assertEqual(function["Runtime"], "provided.al2023")
            self.assertEqual(function["Architectures"], [HERE])
            self.assertEqual(function["Handler"], "function.handler")
        self.assertEqual(base64.b64decode(made["hello"]["Code"]["ZipFile"]), self.zip)
        self.assertEqual(made["hello"]["LoggingConfig"]["LogGroup"], "/aws/lambda/hello")
        self.assertEqual(made["tenants"]["TenancyConfig"], {"TenantIsolationMode": "PER_TENANT"})
        self.assertEqual(len(made["layered"]["Layers"]), 1)
        (code,) = self.calls("PUT", "/2015-03-31/functions/hello/code")
        self.assertEqual(json.loads(code[3])["Architectures"], [HERE])

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

    def test_architecture_of_the_page_is_the_machine_s(self):
        (line,) = [block for block in blocks("deploy.md", "sh") if "export ARCH=" in block]
        done = run(["bash", "-euc", line + 'echo "$ARCH"'])
        self.assertEqual(done.stdout.strip(), HERE)

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


class Readme(WithRecorder):
    """The first function, as a newcomer follows the page: written, run, packed, created."""

    def setUp(self):
        super().setUp()
        self.text = read(os.path.join(ROOT, "README.md"))

    def section(self, heading):
        """The blocks of a section, each with its language."""
        part = self.text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        return re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", part)

    def task(self, name, text, mode=0o644):
        write(os.path.join(self.folder, "hello", name), text, mode)

    def invoke(self, handler, event):
        words = ["--task", "hello", "--handler", handler, "--event", event]
        words += ["--bootstrap", support.bootstrap()]
        return run([os.path.join(DEPLOY, "zerostrap"), "invoke", *words], cwd=self.folder, seconds=600)

    def test_first_function_answers_as_the_page_shows(self):
        (_, script), (_, shown), _ = self.section("Your first function")
        self.task("function.sh", script)
        command, *lines = shown.splitlines()
        words = re.fullmatch(r"\$ zerostrap invoke --task hello --handler (\S+) --event '(.*)'", command)
        done = self.invoke(words[1], words[2])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), lines[-1])
        logged = done.stderr.splitlines()
        self.assertEqual(logged[:3], lines[:3])
        self.assertTrue(logged[3].startswith("REPORT RequestId:"), logged)

    def test_first_function_is_packed_and_created_by_the_commands_of_the_page(self):
        (_, script), _, (_, commands) = self.section("Your first function")
        self.task("function.sh", script)
        programs = os.path.join(self.folder, "programs")
        ours = f'{DEPLOY}/zerostrap "$@" --bootstrap {support.bootstrap()}'
        for name, call in (("aws", f'{support.aws_cli()} "$@"'), ("zerostrap", ours)):
            write(os.path.join(programs, name), f"#!/bin/sh\nexec {call}\n", 0o755)
        env = support.environment(
            PATH=f"{programs}:{os.environ['PATH']}", AWS_ENDPOINT_URL=self.endpoint
        )
        done = run(["bash", "-euc", commands], cwd=self.folder, env=env, seconds=600)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        (made,) = [json.loads(call[3]) for call in self.server.seen if call[0] == "POST"]
        self.assertEqual(made["Runtime"], "provided.al2023")
        packed = zipfile.ZipFile(io.BytesIO(base64.b64decode(made["Code"]["ZipFile"])))
        self.assertEqual(sorted(packed.namelist()), ["bootstrap", "function.sh"])

    def test_executable_of_the_page_answers(self):
        ((_, script),) = self.section("An executable")
        self.task("app", script, 0o755)
        done = self.invoke("app", '{"order":7}')
        self.assertEqual(json.loads(done.stdout), {"accepted": {"order": 7}}, done.stderr)
        self.assertIn("an order\n", done.stderr)
        # With what provided.al2023 has.
        words = ["check", "--task", "hello", "--handler", "app", "--bootstrap", support.bootstrap()]
        checked = run([os.path.join(DEPLOY, "zerostrap"), *words], cwd=self.folder)
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_failing_function_says_what_the_page_shows(self):
        (_, document), (_, log) = self.section("When it fails")
        self.task("function.sh", "handler() {\n    cp /data/prices.csv /tmp\n}\n")
        done = self.invoke("function.handler", "{}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        folder = os.path.join(os.path.realpath(self.folder), "hello")
        # The page breaks the document's one line, and cuts the log's.
        shown = json.loads(document)
        one_line = json.dumps(shown, separators=(",", ":"))
        self.assertEqual(done.stdout.strip().replace(folder, "/var/task"), one_line)
        first, second = log.splitlines()
        said = done.stderr.replace(folder, "/var/task")
        self.assertIn(first + "\n", said)
        failure = f"{shown['errorType']}: {shown['errorMessage']}"
        self.assertIn(failure + "\n", said)
        start, cut, rest = second.split("…")
        self.assertIn(start, said)
        self.assertTrue(failure.startswith(cut.strip()), cut)
        self.assertEqual(rest, "")


class Moving(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = holder.name
        self.task = os.path.join(self.folder, "task")

    def block(self, mark):
        """The block of the page with these words in it."""
        (found,) = [block for block in blocks("migrating.md", "bash") if mark in block]
        return found

    def serve(self, handler, **more):
        tree = os.path.join(self.folder, "tree")
        words = ["--bootstrap", support.bootstrap(), "--task", self.task, "--handler", handler]
        words += ["--arch", HERE, "--out", tree, "--command", "jq"]
        done = run([sys.executable, support.PACK, "tree", *words])
        self.assertEqual(done.returncode, 0, done.stderr)
        env = support.environment(LAMBDA_TASK_ROOT=tree, **more)
        bootstrap = os.path.join(tree, "bootstrap")
        return support.under_emulator([bootstrap], handler, env, cwd=tree)

    def test_function_of_bash_lambda_layer_runs_with_the_adapter_of_the_page(self):
        """Its script is left alone: the response on standard error, the log on standard output."""
        old = (
            "handler () {\n    set -e\n    EVENT_DATA=$1\n    echo a line for the log\n"
            '    if [[ $1 == *bad* ]]; then echo "no \\"good\\"" >&2; false; echo never; fi\n'
            '    echo "{\\"event\\":$EVENT_DATA,\\"id\\":\\"$AWS_LAMBDA_REQUEST_ID\\"}" >&2\n}\n'
        )
        write(os.path.join(self.task, "index.sh"), old)
        write(os.path.join(self.task, "adapted.sh"), self.block("handler_as_before"))
        with self.serve("adapted.handler_as_before") as server:
            reply = json.loads(server.invoke('{"a":1}'))
            self.assertEqual(reply["event"], {"a": 1})
            self.assertRegex(reply["id"], "^[0-9a-f-]{36}$")
            support.until(lambda: "a line for the log" in server.said(), 10, "the log line")
            # The reason of a failure reaches the caller and the log.
            reply = json.loads(server.invoke('"bad"'))
            self.assertEqual(reply["errorType"], "Function.ExitNonZero")
            self.assertEqual(reply["errorMessage"], 'status 1: no "good"')
            support.until(lambda: 'no "good"\n' in server.said(), 10, "the reason in the log")

    def test_cgi_program_runs_with_the_wrapper_of_the_page(self):
        if shutil.which("jq") is None:
            self.skipTest("jq is not installed")
        write(os.path.join(self.task, "cgi.sh"), self.block("GATEWAY_INTERFACE"))
        program = (
            "#!/bin/sh\nprintf 'Status: 201 Created\\r\\nContent-Type: text/plain\\r\\n\\r\\n'\n"
            'echo "$REQUEST_METHOD $PATH_INFO $QUERY_STRING $CONTENT_LENGTH $HTTP_COOKIE"; cat\n'
        )
        write(os.path.join(self.task, "app"), program, 0o755)
        event = {
            "rawPath": "/p",
            "rawQueryString": "a=1",
            "requestContext": {"http": {"method": "POST"}},
            "headers": {"content-type": "text/plain"},
            "cookies": ["x=1", "y=2"],
            "body": base64.b64encode(b"hello").decode(),
            "isBase64Encoded": True,
        }
        more = {
            "BOOTSTRAP_RESPONSE_MODE": "streaming",
            "BOOTSTRAP_CONTENT_TYPE": "application/vnd.awslambda.http-integration-response",
        }
        with self.serve("cgi.handler", **more) as server:
            head, body = server.invoke(json.dumps(event)).split(8 * "\0")
        self.assertEqual(
            json.loads(head), {"statusCode": 201, "headers": {"Content-Type": "text/plain"}}
        )
        self.assertEqual(body, "POST /p a=1 5 x=1; y=2\nhello")

    def test_list_of_the_page_is_fetched_once(self):
        script = self.block("list() {").replace("/tmp/list", os.path.join(self.folder, "list"))
        write(os.path.join(self.task, "function.sh"), script)
        with self.serve("function.handler") as server:
            first = server.invoke("{}")
            self.assertRegex(first, "^[0-9]{15,}$")
            self.assertEqual(server.invoke("{}"), first)

    def test_executable_gets_the_event_as_argument_by_the_two_lines_of_the_page(self):
        line = 'exec ./app "$(cat)"'
        self.assertIn(f"`#!/bin/sh` and `{line}`", read(os.path.join(DOCS, "migrating.md")))
        write(os.path.join(self.task, "run"), f"#!/bin/sh\n{line}\n", 0o755)
        write(os.path.join(self.task, "app"), "#!/bin/sh\nprintf '[%s]' \"$1\"\n", 0o755)
        with self.serve("run") as server:
            self.assertEqual(server.invoke('{"a":1}'), '[{"a":1}]')


class Tools(unittest.TestCase):
    # With libraries of their own; not every machine's are old enough for Lambda.
    PROGRAMS = {"jq": ["-n", "1+1"], "xz": ["--version"], "bzip2": ["--help"], "xargs": ["--help"]}

    def layer(self, name, folder):
        """Carries out what the page has `docker run` do, on a program of this machine."""
        (block,) = [block for block in blocks("deploy.md", "sh") if "dnf install" in block]
        (script,) = re.findall(r"(?s)sh -euc '\n(.*)'", block)
        tools = os.path.join(folder, "tools")
        script = script.replace("/tools", tools).replace("in jq git", f"in {name}")
        script = re.sub(r"(?m)^.*(dnf install|git-core).*$", "", script)
        done = run(["sh", "-euc", script])
        self.assertEqual(done.returncode, 0, done.stderr)
        layer = os.path.join(folder, "layer.zip")
        words = ["layer", "--task", tools, "--arch", HERE, "--out", layer]
        return layer, run([sys.executable, support.PACK, *words])

    def test_recipe_of_the_page_makes_a_layer_whose_programs_run(self):
        ran = []
        for name, words in self.PROGRAMS.items():
            if shutil.which(name, path="/usr/bin") is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                layer, done = self.layer(name, folder)
                if "provided.al2023 ends at" in done.stderr:
                    continue
                self.assertEqual(done.returncode, 0, done.stderr)
                opt = os.path.join(folder, "opt")
                run([sys.executable, "-m", "zipfile", "-e", layer, opt])
                with zipfile.ZipFile(layer) as packed:
                    modes = {i.filename: i.external_attr >> 16 & 0o777 for i in packed.infolist()}
                self.assertEqual(modes[f"bin/{name}"], 0o755)
                base = ("libc.so", "libc-", "ld-linux")
                self.assertFalse([n for n in modes if os.path.basename(n).startswith(base)])
                program = os.path.join(opt, "bin", name)
                os.chmod(program, 0o755)
                env = support.environment(LD_LIBRARY_PATH=os.path.join(opt, "lib"))
                done = run([program, *words], env=env)
                self.assertEqual(done.returncode, 0, done.stderr)
                ran.append(name)
        if not ran:
            self.skipTest("no program of this machine is old enough for provided.al2023")
        print("  in a layer: " + " ".join(ran))


class Cdk(unittest.TestCase):
    def test_stack_of_the_page_is_synthesized(self):
        (script,) = blocks("deploy.md", "js")
        modules = support.node_modules("aws-cdk-lib@2.276.0", "constructs@10.8.1")
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(
                write(os.path.join(folder, "dist", "function.zip"), b""), "w"
            ) as z:
                z.writestr("bootstrap", "stands for a package")
            write(os.path.join(folder, "app.js"), script)
            for arch in ("x86_64", "arm64"):
                out = os.path.join(folder, arch)
                env = support.environment(NODE_PATH=modules, CDK_OUTDIR=out, ARCH=arch)
                done = run(["node", "app.js"], cwd=folder, env=env)
                self.assertEqual(done.returncode, 0, done.stderr)
                template = json.loads(read(os.path.join(out, "Hello.template.json")))
                (function,) = [
                    resource["Properties"]
                    for resource in template["Resources"].values()
                    if resource["Type"] == "AWS::Lambda::Function"
                ]
                self.assertEqual(function["Runtime"], "provided.al2023")
                self.assertEqual(function["Architectures"], [arch])
                self.assertEqual(function["Handler"], "function.handler")
                assets = json.loads(read(os.path.join(out, "Hello.assets.json")))["files"]
                packed = [
                    a["source"] for a in assets.values() if a["source"]["packaging"] == "file"
                ]
                self.assertTrue(any(source["path"].endswith(".zip") for source in packed), packed)
