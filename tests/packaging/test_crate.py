"""The crate as a registry would hand it out: what is in it, and that it builds on its own."""

import os
import re
import shutil
import tarfile
import unittest

from support import ROOT, read, run

FOLDER = os.path.join(ROOT, "target", "crate")
FILES = {
    ".cargo_vcs_info.json",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE",
    "README.md",
    "build.rs",
    "docs/rust-functions.md",
}


def cargo(*words, cwd=ROOT, env=None):
    more = {"CARGO_TARGET_DIR": FOLDER, **(env or {})}
    return run(["cargo", *words], seconds=600, cwd=cwd, env={**os.environ, **more})


class Crate(unittest.TestCase):
    def good(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def unpacked(self):
        """The package's files in a folder of their own, below target/ for the pinned compiler."""
        shutil.rmtree(os.path.join(FOLDER, "package"), ignore_errors=True)
        self.good(cargo("package", "--no-verify", "--allow-dirty", "--offline"))
        packages = os.path.join(FOLDER, "package")
        (archive,) = [name for name in os.listdir(packages) if name.endswith(".crate")]
        with tarfile.open(os.path.join(packages, archive)) as files:
            files.extractall(packages)
        return os.path.join(packages, archive.removesuffix(".crate"))

    def test_package_holds_what_users_need_and_nothing_else(self):
        listed = self.good(cargo("package", "--list", "--allow-dirty", "--offline"))
        files = set(listed.stdout.split())
        for name in files - FILES:
            self.assertRegex(name, r"^(src/.+\.(rs|sh|txt)|examples/\w+\.rs)$")
        has_history = os.path.exists(os.path.join(ROOT, ".git"))
        missing = FILES - files - (set() if has_history else {".cargo_vcs_info.json"})
        self.assertEqual(missing, set())

    def test_unpacked_package_builds_once_and_knows_its_commit(self):
        folder = self.unpacked()
        self.good(cargo("build", "--offline", "--locked", "--bins", "--examples", cwd=folder))
        again = self.good(cargo("build", "--offline", "--locked", "--verbose", cwd=folder))
        self.assertIn("Fresh zerostrap", again.stderr)
        version = self.good(run([os.path.join(FOLDER, "debug", "bootstrap"), "--version"]))
        noted = read(os.path.join(folder, ".cargo_vcs_info.json"))
        commit = re.search(r'"sha1": "(\w+)"', noted)[1] if noted else "unknown"
        self.assertIn(f"(commit {commit}", version.stdout)

    def test_unpacked_package_passes_its_tests_on_the_oldest_compiler_that_it_names(self):
        manifest = read(os.path.join(ROOT, "Cargo.toml"))
        (oldest,) = re.findall(r'(?m)^rust-version = "(.*)"$', manifest)
        oldest += ".0"
        toolchain = {"RUSTUP_TOOLCHAIN": oldest, "RUSTUP_AUTO_INSTALL": "0"}
        rustc = {**os.environ, **toolchain}
        if shutil.which("rustup") is None or run(["rustc", "-V"], env=rustc).returncode != 0:
            self.skipTest(
                f"Rust {oldest} is not installed: rustup toolchain install {oldest} --profile minimal"
            )
        env = {**toolchain, "CARGO_TARGET_DIR": os.path.join(FOLDER, oldest)}
        done = cargo("test", "--offline", "--locked", cwd=self.unpacked(), env=env)
        self.assertIn("test result: ok", self.good(done).stdout)
