"""deploy/terraform: formatted, valid, its own tests pass against the schema of AWS's provider."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import support
from support import DEPLOY, run, tool

MODULE = os.path.join(DEPLOY, "terraform")


def need_terraform():
    if shutil.which("terraform") is None:
        raise unittest.SkipTest("terraform is not installed")


class Terraform(unittest.TestCase):
    def copy(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        return shutil.copytree(MODULE, os.path.join(holder.name, "terraform"))

    def reattached(self):
        """The environment in which Terraform talks to the stand-in for AWS's provider."""
        here = os.path.dirname(os.path.realpath(__file__))
        child = subprocess.Popen(
            [
                tool("python"),
                os.path.join(here, "standin_provider.py"),
                support.provider_bindings(),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.wait, 10)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stdin.close)
        address = child.stdout.readline().strip()
        self.assertTrue(address, "the stand-in provider did not start")
        return support.environment(TF_REATTACH_PROVIDERS=address)

    def test_module_is_formatted(self):
        need_terraform()
        done = run(["terraform", "fmt", "-check", "-diff", "-recursive", MODULE])
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_module_and_examples_are_valid_and_its_tests_pass(self):
        need_terraform()
        env, module = self.reattached(), self.copy()
        for folder in ("", "examples/zip", "examples/image"):
            where = os.path.join(module, folder)
            for words in (["init", "-backend=false"], ["validate"]):
                done = run(["terraform", *words, "-no-color"], cwd=where, env=env)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = run(["terraform", "test", "-no-color"], cwd=module, env=env)
        print("  terraform test: " + done.stdout.strip().splitlines()[-1])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        runs = sum(
            line.startswith("run ")
            for name in os.listdir(os.path.join(MODULE, "tests"))
            if name.endswith(".tftest.hcl")
            for line in support.read(os.path.join(MODULE, "tests", name)).splitlines()
        )
        self.assertIn(f"{runs} passed, 0 failed.", done.stdout)

    def test_argument_that_the_provider_does_not_know_is_seen(self):
        """The stand-in is worth something: it has the provider's schema."""
        need_terraform()
        env, module = self.reattached(), self.copy()
        path = os.path.join(module, "main.tf")
        support.write(path, support.read(path).replace("memory_size ", "memory_mb   "))
        run(["terraform", "init", "-backend=false"], cwd=module, env=env)
        done = run(["terraform", "validate", "-no-color"], cwd=module, env=env)
        self.assertEqual(done.returncode, 1)
        self.assertIn('An argument named "memory_mb" is not expected here', done.stderr)

    def test_every_validation_of_an_input_is_broken_by_a_test(self):
        variables = support.read(os.path.join(MODULE, "variables.tf"))
        tests = support.read(os.path.join(MODULE, "tests", "inputs.tftest.hcl"))
        for part in variables.split('variable "')[1:]:
            name = part.split('"')[0]
            self.assertIn("description =", part, name)
            self.assertIn("type ", part, name)
            expected = tests.count(f"expect_failures = [var.{name}]")
            self.assertGreaterEqual(expected, part.count("validation {"), name)


class Checkov(unittest.TestCase):
    """Every finding is mended, or explained where it stands."""

    def scan(self, *words):
        done = run(
            [tool("checkov", "checkov"), "--skip-download", "--output", "json", *words], seconds=300
        )
        report = json.loads(done.stdout)
        reports = report if isinstance(report, list) else [report]
        for found in reports:
            summary = found["summary"]
            print(
                f"  checkov {found['check_type']}: Passed checks: {summary['passed']}, "
                f"Failed checks: {summary['failed']}, Skipped checks: {summary['skipped']}"
            )
            self.assertEqual(found["results"]["failed_checks"], [])
            self.assertEqual(summary["parsing_errors"], 0)
            self.assertGreater(summary["passed"], 0)
            for skipped in found["results"]["skipped_checks"]:
                reason = skipped["check_result"].get("suppress_comment") or ""
                self.assertGreater(len(reason), 20, skipped["check_id"])
        self.assertEqual(done.returncode, 0)

    def test_terraform_has_no_unexplained_finding(self):
        self.scan("--framework", "terraform", "-d", MODULE)

    def test_sam_template_has_no_unexplained_finding(self):
        self.scan(
            "--framework", "cloudformation", "-f", os.path.join(DEPLOY, "sam", "template.yaml")
        )

    def test_dockerfiles_have_no_unexplained_finding(self):
        names = [os.path.join(DEPLOY, name) for name in ("Dockerfile", "Dockerfile.scratch")]
        self.scan("--framework", "dockerfile", "-f", *names)
