"""What these tests share: the command, a function's folder, a running `serve`, raw requests."""

import base64
import functools
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

import support
from support import ROOT, environment, run, until, write

COMMAND = os.path.join(support.DEPLOY, "zerostrap")
INVOKE = "/2015-03-31/functions/function/invocations"
ECHO = 'handler() { printf %s "$1"; }\n'


@functools.cache
def bootstrap():
    """One that runs here: the artefact, or where that cannot be built the plain build."""
    done = run([os.path.join(support.DEPLOY, "local.sh"), support.HERE], seconds=600)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return os.path.join(ROOT, done.stdout.strip())


class Case(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = holder.name
        self.task = os.path.join(self.folder, "task")
        os.mkdir(self.task)

    def file(self, name, content, mode=0o644):
        return write(os.path.join(self.task, name), content, mode)

    def script(self, text=ECHO):
        return self.file("function.sh", text)

    def command(self, *words, env=None, seconds=300, **options):
        options.setdefault("cwd", self.task)
        env = environment(**(env or {}))
        return run([COMMAND, *words], seconds=seconds, env=env, **options)

    def serve(self, *words, **env):
        serving = Serving([COMMAND, "serve", "--port", "0", *words], self.task, env)
        self.addCleanup(serving.end)
        return serving


class Reply:
    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = [tuple(line.split(": ", 1)) for line in lines]

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


class Serving:
    """A running `serve`, on a port that it chose."""

    def __init__(self, words, folder, env):
        self.log = tempfile.NamedTemporaryFile()
        self.mark = f"SERVING={os.getpid()}.{id(self)}"
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment(**env, **{name: value}),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.port = int(until(self.announced, 300, "serve to listen"))

    def announced(self):
        found = re.search(r"Serving http://127\.0\.0\.1:(\d+)/", self.said())
        if not found and self.process.poll() is not None:
            raise AssertionError("serve ended: " + self.said())
        return found and found[1]

    def said(self):
        return support.read(self.log.name)

    def processes(self):
        """All that it started; children inherit the environment."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/environ", "rb") as file:
                        if self.mark.encode() in file.read().split(b"\0"):
                            found.append(int(name))
                except OSError:
                    pass
        return found

    def raw(self, request, seconds=60):
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as client:
            client.sendall(request)
            data = b""
            while part := client.recv(65536):
                data += part
        return Reply(data)

    def request(self, method, path, body=b"", seconds=60, **headers):
        lines = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body or method == "POST":
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body, seconds)

    def post(self, event, **headers):
        event = event if isinstance(event, bytes) else event.encode()
        return self.request("POST", INVOKE, event, **headers)

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def tail(self, reply):
        return base64.b64decode(reply.header("X-Amz-Log-Result")).decode()

    def interrupt(self):
        """As a terminal does it: to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        until(lambda: not self.processes(), 30, "all of its processes to be gone")
        self.log.close()
