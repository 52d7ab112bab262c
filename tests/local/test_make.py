"""The make targets that call the command, and what they say where parts are missing."""

import os
import shutil
import unittest
import zipfile

import command
import support
from support import HERE, ROOT, environment, run, write

ZIP = os.path.join(ROOT, "dist", "function.zip")
LONG = {"x86_64": "x86_64", "arm64": "aarch64"}[HERE]


class Make(command.Case):
    def make(self, target, *words, **env):
        words = [f"{name}={value}" for name, value in words]
        return run(["make", "-s", target, *words], cwd=ROOT, seconds=900, env=environment(**env))

    def names(self):
        with zipfile.ZipFile(ZIP) as packed:
            return packed.namelist()

    def test_zip_takes_patterns_and_names_the_architecture(self):
        self.script()
        for name in (".env", "tls.pem", "notes.txt"):
            self.file(name, "x")
        words = [("TASK", self.task), ("HANDLER", "function.handler")]
        done = self.make("zip", *words, ("INCLUDE", "*.pem"), ("EXCLUDE", "*.txt"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), ["bootstrap", "function.sh", "tls.pem"])
        self.assertIn("note: left out: .env", done.stderr)
        # The kernel's word for the architecture is taken for Lambda's.
        done = self.make("zip", *words, ("ARCH", LONG))
        self.assertIn(f"for --architectures {HERE}", done.stdout)

    def test_values_reach_the_command_as_they_were_written(self):
        self.task = os.path.join(self.folder, "a $(touch hacked) 'task'")
        self.script()
        done = self.make("invoke", ("TASK", self.task), ("EVENT", "\"$HOME `id` 'x' $(id)\""))
        self.assertEqual(done.stdout, "\"$HOME `id` 'x' $(id)\"", done.stderr)
        done = self.make("check", ("TASK", self.task))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(os.path.join(ROOT, "hacked")))

    def test_zip_of_a_rust_function_that_is_its_own_bootstrap(self):
        own = shutil.copy(support.bootstrap(), os.path.join(self.folder, "app"))
        done = self.make("zip", ("BOOTSTRAP", own))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), ["bootstrap"])
        done = self.make("zip", ("BOOTSTRAP", "/bin/ls"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("is not a static program, it needs", done.stderr)
        self.assertRegex(done.stderr, r"Error 1\b")

    def test_audit_works_beside_the_files_of_an_image(self):
        image = os.path.join(ROOT, "dist", "image-of-a-test")
        self.addCleanup(shutil.rmtree, image)
        write(os.path.join(image, "bootstrap"), "x", 0o755)
        # What it says of the pages is tested by cargo itself.
        programs = os.path.join(self.folder, "programs")
        write(os.path.join(programs, "cargo"), "#!/bin/sh\n", 0o755)
        env = environment(PATH=f"{programs}:{os.environ['PATH']}")
        done = run([os.path.join(ROOT, "tests", "audit.sh")], cwd=ROOT, env=env)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn(f"dist/{HERE}/bootstrap", done.stdout)


class Missing(unittest.TestCase):
    def test_missing_compiler_is_one_line_to_paste_by_every_target(self):
        path = "/usr/bin:/bin"
        if shutil.which("cargo", path=path):
            self.skipTest("cargo lies in /usr/bin")
        named = set()
        for target in ("build", "invoke", "serve", "zip", "test", "install"):
            done = run(["make", "-s", target], cwd=ROOT, env=environment(PATH=path))
            self.assertEqual((done.returncode, done.stdout), (2, ""), target)
            lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
            self.assertEqual(lines[0], "build: there is no cargo on the PATH; run:", target)
            self.assertEqual(len(lines), 2, done.stderr)
            self.assertRegex(lines[1], r"  # about [0-9]+ MB to download$")
            # Pasted into a shell, all of it is one command.
            self.assertEqual(run(["sh", "-nc", lines[1]]).returncode, 0)
            named.add(lines[1])
        self.assertEqual(len(named), 1, named)
