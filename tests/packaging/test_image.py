"""deploy/Dockerfile and Dockerfile.scratch, with no engine: their instructions are carried out on a
folder, and the image's process is started there by chroot, under AWS's emulator."""

import json
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
import unittest

import support
from support import DEPLOY, HERE, run, tool, write
from test_sam import TARGETS, need_compiler

SYSTEM = {
    name: shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    for name in ("unshare", "mount", "chroot")
}
# Arguments: a root folder, a user, a program. /proc is mounted for this process tree alone and is
# gone when it ends.
IN_ROOT = [
    SYSTEM["unshare"],
    "--mount",
    "/bin/sh",
    "-euc",
    f'root=$1 user=$2; shift 2; {SYSTEM["mount"]} --bind /proc "$root/proc"; '
    f'exec {SYSTEM["chroot"]} --userspec="$user" "$root" "$@"',
    "image",
]

# What AWS's base image sets, as its documentation tells.
BASE_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


class Image:
    """The root folder and the settings that a Dockerfile leads to. It knows the instructions that
    these two files use and fails at any other."""

    def __init__(self, dockerfile, context, root, arguments, env):
        self.context, self.root, self.arguments = context, root, arguments
        self.env, self.workdir, self.user = dict(env), "/", None
        self.entrypoint, self.command, self.base = [], [], None
        text = re.sub(r"(?m)^#.*\n", "", support.read(dockerfile)).replace("\\\n", " ")
        for line in filter(None, map(str.strip, text.splitlines())):
            word, rest = line.split(None, 1)
            getattr(self, "do_" + word.lower())(rest)

    def filled(self, text):
        return re.sub(r"\$\{(\w+)\}", lambda m: {**self.arguments, **self.env}[m[1]], text)

    def do_arg(self, rest):
        if rest not in self.arguments:
            raise AssertionError(f"ARG {rest} needs a value")

    def do_from(self, rest):
        self.base = self.filled(rest)

    def do_copy(self, rest):
        source, target = self.filled(rest).split()
        target = os.path.join(self.root, target.lstrip("/"))
        source = os.path.join(self.context, source)
        os.makedirs(target if target.endswith("/") else os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def do_env(self, rest):
        self.env.update(pair.split("=", 1) for pair in shlex.split(self.filled(rest)))

    def do_workdir(self, rest):
        self.workdir = rest

    def do_user(self, rest):
        self.user = rest

    def do_entrypoint(self, rest):
        self.entrypoint = json.loads(rest)

    def do_cmd(self, rest):
        self.command = json.loads(rest)


class Images(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        os.chmod(holder.name, 0o755)
        self.folder = holder.name

    def context(self, name, content, handler):
        """As the Dockerfiles say: what `pack.py tree` wrote."""
        task, tree = os.path.join(self.folder, "task"), os.path.join(self.folder, "image")
        if isinstance(content, bytes):
            write(os.path.join(task, name), content, 0o755)
        else:
            write(os.path.join(task, name), content)
        words = ["--bootstrap", support.bootstrap(), "--task", task, "--arch", HERE]
        words += ["--handler", handler, "--out", tree]
        done = run([sys.executable, support.PACK, "tree", *words])
        self.assertEqual(done.returncode, 0, done.stderr)
        return tree

    def answers(self, image, entrypoint, event):
        """Runs the image's process in its root, as its user, under the emulator."""
        if None in SYSTEM.values() or run([SYSTEM["unshare"], "--mount", "true"]).returncode != 0:
            self.skipTest("unshare, mount and chroot need root and Debian's util-linux")
        shutil.copy(support.emulator(), os.path.join(image.root, "rie"))
        # What every engine adds, and Lambda: /tmp, /proc, and of /dev what the emulator opens.
        for name, mode in (("tmp", 0o1777), ("proc", 0o555), ("dev", 0o755)):
            os.mkdir(os.path.join(image.root, name))
            os.chmod(os.path.join(image.root, name), mode)
        null = os.path.join(image.root, "dev", "null")
        os.mknod(null, stat.S_IFCHR, os.makedev(1, 3))
        os.chmod(null, 0o666)
        wrap = [*IN_ROOT, image.root, image.user]
        with support.under_emulator(
            entrypoint, image.command[0], image.env, wrap=wrap, rie="/rie"
        ) as server:
            return server.invoke(event)

    def test_scratch_image_runs_an_executable_with_nothing_else_in_it(self):
        program = self.compiled()
        tree = self.context("app", program, "app")
        root = os.path.join(self.folder, "root")
        image = Image(os.path.join(DEPLOY, "Dockerfile.scratch"), tree, root, {}, {})
        self.assertEqual(image.base, "scratch")
        found = sorted(
            os.path.relpath(os.path.join(folder, leaf), root)
            for folder, _, files in os.walk(root)
            for leaf in files
        )
        self.assertEqual(found, ["var/task/app", "var/task/bootstrap"])
        said = self.answers(image, image.entrypoint, '{"a":1}')
        self.assertEqual(json.loads(said)["bytes"], 7)
        # Where CMD is no more than an argument, HANDLER tells the handler.
        self.assertEqual(image.command, [image.env["HANDLER"]])
        check = [*IN_ROOT, root, image.user, *image.entrypoint, "--check"]
        done = run(check, env=image.env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_base_image_runs_a_shell_function(self):
        script = '#!/bin/bash\nhandler() { printf \'{"event":%s,"by":"%s"}\' "$1" "$BASH"; }\n'
        tree = self.context("function.sh", script, "function.handler")
        root = os.path.join(self.folder, "root")
        self.base(root)
        digest = "sha256:" + 64 * "0"
        dockerfile = os.path.join(DEPLOY, "Dockerfile")
        image = Image(dockerfile, tree, root, {"DIGEST": digest}, BASE_ENV)
        self.assertEqual(image.base, f"public.ecr.aws/lambda/provided@{digest}")
        # The base's own entry point, which the file keeps, starts this path with CMD as handler.
        self.assertEqual(image.entrypoint, [])
        said = self.answers(image, ["/var/runtime/bootstrap"], '{"a":1}')
        self.assertEqual(json.loads(said), {"event": {"a": 1}, "by": "/bin/bash"})

    def base(self, root):
        """Stands in for AWS's base image: bash with its libraries, from this machine."""
        needed = run(["ldd", "/bin/bash"]).stdout
        for path in ["/bin/bash", *re.findall(r"(/\S+) \(0x", needed)]:
            target = os.path.join(root, path.lstrip("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.realpath(path), target)
        self.assertTrue(os.path.exists(os.path.join(root, "bin", "bash")))

    def compiled(self):
        """The executable of deploy/sam, which is static."""
        need_compiler(HERE)
        out = os.path.join(self.folder, "app")
        source = os.path.join(DEPLOY, "sam", "executable", "app.rs")
        words = ["rustc", "--edition", "2024", "--target", TARGETS[HERE], "-C", "linker=rust-lld"]
        done = run([*words, "-o", out, source])
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, "rb") as file:
            return file.read()

    def test_dockerfile_without_a_digest_is_refused(self):
        with self.assertRaisesRegex(AssertionError, "ARG DIGEST"):
            Image(os.path.join(DEPLOY, "Dockerfile"), self.folder, self.folder, {}, BASE_ENV)

    def test_hadolint_finds_nothing(self):
        names = [os.path.join(DEPLOY, name) for name in ("Dockerfile", "Dockerfile.scratch")]
        done = run([tool("hadolint"), *names])
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
