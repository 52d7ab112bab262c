"""deploy/sam: validated, linted, built by SAM, and what SAM built answers under AWS's emulator."""

import json
import os
import shutil
import tempfile
import unittest

import support
from support import DEPLOY, HERE, OTHER, run, tool

TEMPLATE = os.path.join(DEPLOY, "sam", "template.yaml")
TARGETS = {"x86_64": "x86_64-unknown-linux-musl", "arm64": "aarch64-unknown-linux-musl"}


def need_compiler(arch):
    """The executable of the template is Rust; its standard library has to be there."""
    if shutil.which("rustc") is None:
        raise unittest.SkipTest("rustc is not installed")
    found = run(["rustc", "--print", "target-libdir", "--target", TARGETS[arch]])
    if found.returncode != 0 or not os.path.isdir(found.stdout.strip()):
        # Debian's packages have none for musl: there it is rebuilt from source for the bootstrap.
        raise unittest.SkipTest(f"there is no std for {TARGETS[arch]}: rustup target add brings it")


class Sam(unittest.TestCase):
    def built(self, arch):
        """What `sam build` makes of a copy of deploy/sam: the folder with the artefacts."""
        need_compiler(arch)
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        project = shutil.copytree(os.path.join(DEPLOY, "sam"), os.path.join(holder.name, "sam"))
        words = [tool("sam"), "build", "--parameter-overrides", f"Architecture={arch}"]
        # A copy in another project finds the command on the PATH.
        programs = os.path.join(holder.name, "programs")
        os.mkdir(programs)
        os.symlink(os.path.join(DEPLOY, "zerostrap"), os.path.join(programs, "zerostrap"))
        more = {"PATH": f"{programs}:{os.environ['PATH']}"}
        # The machine's is what a user gets who says nothing.
        if arch != HERE:
            more["ARCH"] = arch
        done = run(words, cwd=project, env=support.environment(**more), seconds=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Build Succeeded", done.stdout)
        return os.path.join(project, ".aws-sam", "build")

    def test_template_is_valid_and_has_no_lint(self):
        done = run([tool("sam"), "validate", "--lint", "--template", TEMPLATE])
        print("  " + done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("is a valid SAM Template", done.stdout)

    def test_cfn_lint_finds_nothing_in_the_template(self):
        done = run([tool("cfn-lint"), "--format", "pretty", TEMPLATE])
        print("  cfn-lint: " + (done.stdout.strip().splitlines() or ["no word"])[-1])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_what_sam_built_answers_under_the_emulator(self):
        build = self.built(HERE)
        for name, handler, event, answer in (
            ("ShellFunction", "function.handler", '{"a":1}', {"event": {"a": 1}}),
            ("ExecutableFunction", "app", '{"a":1}', {"bytes": 7}),
        ):
            folder = os.path.join(build, name)
            env = support.environment(LAMBDA_TASK_ROOT=folder)
            bootstrap = os.path.join(folder, "bootstrap")
            with support.under_emulator([bootstrap], handler, env, cwd=folder) as server:
                said = server.invoke(event)
            reply = json.loads(said)
            self.assertTrue(reply.pop("greeting").startswith("Hello"), said)
            self.assertEqual(reply, answer)

    def test_other_architecture_is_built_as_well(self):
        build = self.built(OTHER)
        for name, program in (("ShellFunction", "bootstrap"), ("ExecutableFunction", "app")):
            with open(os.path.join(build, name, program), "rb") as file:
                machine = int.from_bytes(file.read(20)[18:], "little")
            self.assertEqual(machine, {"arm64": 183, "x86_64": 62}[OTHER])

    def test_roles_trust_lambda_alone_and_write_one_log(self):
        """Read from the template itself, as the linters do not look at this."""
        text = support.read(TEMPLATE)
        self.assertEqual(text.count("sts:AssumeRole"), text.count("Service: lambda.amazonaws.com"))
        self.assertEqual(text.count("sts:AssumeRole"), 2)
        self.assertNotRegex(text, r"(?m)^\s*(Action|Resource|Principal): *['\"]?\*")
        self.assertNotIn("ManagedPolicyArns", text)
