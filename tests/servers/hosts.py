"""The servers, and a handler behind each: the same few words to start one and to send it an event."""

import functools
import http.client
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "packaging"))

import support  # noqa: E402

TASK = os.path.join(HERE, "task")
CARGO_LAMBDA = "cargo-lambda==1.9.2"
PATIENCE = 15
# Below those that the kernel gives to outgoing connections, of which there are many here.
PORTS = itertools.count(20_000 + os.getpid() % 100 * 100)


class Handler:
    """A kind of handler: the program that is the bootstrap, and `_HANDLER`."""

    def __init__(self, name, program, handler, streams, endless):
        self.name, self.program, self.handler = name, program, handler
        self.streams, self.endless = streams, endless
        self.is_library = handler == ""

    def environment(self, api=None, **more):
        """AWS's emulator adds the address and the handler by itself."""
        variables = {"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": TASK,
                     "BOOTSTRAP_EVENT_VIA": "stdin", **more}
        # Half of the time of an event that is to overrun, so that a busy machine can report it.
        variables["BOOTSTRAP_DEADLINE_MARGIN_MS"] = "500"
        if api:
            variables |= {"AWS_LAMBDA_RUNTIME_API": api, "_HANDLER": self.handler}
        return variables

    def streaming(self, handler):
        """The same kind with another handler, and streaming."""
        program, handler = (handler, "") if self.is_library else (self.program, handler)
        return Streaming(self.name, program, handler, None, None)


class Streaming(Handler):
    def environment(self, api=None, **more):
        return super().environment(api, BOOTSTRAP_RESPONSE_MODE="streaming", **more)


class Failed(Exception):
    """What a server or a handler did in the place of what it should."""


def free_port():
    for port in PORTS:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Process:
    """A program, all that it starts, and what it says."""

    def __init__(self, words, env, **options):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            words,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )

    def status(self):
        return self.process.poll()

    def said(self):
        # Without a seek, which would also move the place where the program writes.
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode("utf-8", "replace")

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


class Host:
    """A server with one handler behind it, as a block: started at its begin, gone at its end."""

    path = "/2015-03-31/functions/function/invocations"
    # Whether it tells a deadline that can be met.
    knows_deadlines = True
    # A part of what its callers get for an event that it gave up.
    own_words = b"Timedout"
    # Whether it keeps the head of an HTTP response and its end mark to itself.
    strips_head = False

    def __init__(self, handler, limit):
        self.handler, self.limit, self.port = handler, limit, free_port()
        self.processes = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.end()

    def begin(self, words, env, **options):
        process = Process(words, env, **options)
        self.processes.append(process)
        return process

    def wait_listening(self):
        server = self.processes[0]

        def listens():
            if server.status() is not None:
                raise Failed(f"the server ended: {server.said()[-300:]}")
            return support.listens(self.port)

        support.until(listens, 30, "the server listens")

    def begin_handler(self, api):
        env = self.handler.environment(api)
        self.bootstrap = self.begin([self.handler.program], env, cwd=TASK)

    def said(self):
        return self.bootstrap.said()

    def invoke(self, event, path=None):
        """Sends an event; the caller's response. Fails early where nobody is left to answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("POST", path or self.path, event)
            until = time.monotonic() + PATIENCE
            while not select.select([connection.sock], [], [], 0.05)[0]:
                if time.monotonic() > until:
                    raise Failed(f"no response in {PATIENCE} s; log: {self.last_words()}")
                if self.bootstrap.status() is not None:
                    raise Failed(f"the bootstrap ended; log: {self.last_words()}")
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{error!r}; log: {self.last_words()}") from error
        finally:
            connection.close()

    def last_words(self):
        lines = [line for line in self.said().splitlines() if line.strip()]
        return (lines or ["nothing"])[-1][-200:]

    def after_overrun(self):
        """What has to be done before the next event is served."""

    def check(self):
        """After all events: whether any response was lost, or came twice."""


class Rie(Host):
    """AWS's own emulator. It starts the bootstrap itself, and ends it where an event overruns."""

    own_words = b"timed out"

    def start(self):
        words = [
            emulator(),
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{self.port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            self.handler.program,
            *([self.handler.handler] if self.handler.handler else []),
        ]
        env = self.handler.environment(AWS_LAMBDA_FUNCTION_TIMEOUT=str(self.limit))
        # It is what ends when the function cannot go on.
        self.bootstrap = self.begin(words, env, cwd=TASK)
        self.wait_listening()


class CargoLambda(Host):
    """The server of `cargo lambda watch`. A function that is started by hand asks it for events."""

    # It sends one of 1970.
    knows_deadlines = False
    # Status 408 alone.
    own_words = b""
    strips_head = True

    def start(self):
        self.folder = tempfile.mkdtemp()
        # It serves the functions of a package, and so wants one.
        support.write(
            os.path.join(self.folder, "Cargo.toml"),
            '[package]\nname = "function"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
        )
        support.write(os.path.join(self.folder, "src", "main.rs"), "fn main() {}\n")
        words = [cargo_lambda(), "lambda", "watch", "--only-lambda-apis", "--ignore-changes"]
        words += ["-A", "127.0.0.1", "-P", str(self.port), "--timeout", str(self.limit)]
        self.begin(words, os.environ, cwd=self.folder)
        self.wait_listening()
        self.begin_handler(f"http://127.0.0.1:{self.port}/.rt/function")

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(getattr(self, "folder", ""), ignore_errors=True)

    def after_overrun(self):
        """It refuses the late answer with 500, which ends a bootstrap. Another is started, as
        `cargo lambda watch` does where it starts functions itself."""
        support.until(lambda: self.bootstrap.status() is not None, PATIENCE, "the bootstrap ends")
        if self.bootstrap.status() != 1 or "status 500" not in self.said():
            raise Failed(f"it ended with {self.bootstrap.status()}; log: {self.last_words()}")
        self.begin_handler(f"http://127.0.0.1:{self.port}/.rt/function")


class Own(Host):
    """server.py or server.js, with manners."""

    def __init__(self, program, manners, handler, limit):
        super().__init__(handler, limit)
        self.program, self.manners = program, manners

    def start(self):
        script = os.path.join(HERE, "server.js" if self.program == "node" else "server.py")
        program = node() if self.program == "node" else sys.executable
        words = [program, script, str(self.port), str(self.limit * 1000), self.manners]
        self.begin(words, os.environ)
        self.wait_listening()
        address = f"127.0.0.1:{self.port}"
        prefixed = f"http://{address}/.rt/function"
        self.begin_handler(prefixed if "prefix" in self.manners else address)

    def check(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/count")
            count = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"the server counts no more: {error!r}") from error
        finally:
            connection.close()
        if json.loads(count) != {"lost": 0, "twice": 0}:
            raise Failed(f"the server counted {count}")


@functools.cache
def emulator():
    try:
        return support.emulator()
    except unittest.SkipTest as why:
        raise unittest.SkipTest(f"{why}; run: deploy/rie.sh") from why


@functools.cache
def cargo_lambda():
    """cargo-lambda of the PATH, else the pinned one of target/venv."""
    found = shutil.which("cargo-lambda")
    if found:
        return found
    name = "cargo-lambda"

    def unpack(wheel, folder):
        (member,) = [n for n in wheel.namelist() if n.endswith(f"/scripts/{name}")]
        path = os.path.join(folder, name)
        with wheel.open(member) as packed, open(path, "wb") as file:
            shutil.copyfileobj(packed, file)
        os.chmod(path, 0o755)

    try:
        return os.path.join(support.unpacked_wheel(CARGO_LAMBDA, unpack), name)
    except unittest.SkipTest as why:
        raise unittest.SkipTest(f"{why}; run: python3 -m pip install {CARGO_LAMBDA}") from why


@functools.cache
def node():
    found = shutil.which("node")
    if found is None:
        raise unittest.SkipTest("there is no node; run: apt-get install nodejs")
    return found
