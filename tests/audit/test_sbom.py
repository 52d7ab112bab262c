"""The SBOMs and the VEX document: valid by the formats' own validators, and true of the artefact.

In: dist/ARCH/bootstrap as `make` builds it; the validators from PyPI, at the versions below. What
is not there is skipped, and said so.
"""

import functools
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import tomllib
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
DIST = os.environ.get("ZEROSTRAP_DIST", os.path.join(ROOT, "dist"))
SBOM = os.path.join(ROOT, "deploy", "sbom.py")
VEX = os.path.join(ROOT, "deploy", "vex", "zerostrap.openvex.json")
VENV = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "venv-audit")
VALIDATORS = ["cyclonedx-python-lib[json-validation]==11.12.0", "spdx-tools==0.8.5"]
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}

CHECK_CYCLONEDX = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
"""
CHECK_SPDX = """
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
messages = validate_full_spdx_document(parse_file(sys.argv[1]))
sys.exit("; ".join(message.validation_message for message in messages) or 0)
"""


def run(*words, seconds=300):
    return subprocess.run(
        words, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def content(path):
    """A text file, whole."""
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.cache
def validator():
    """A Python with the validators, or why there is none."""
    python = os.path.join(VENV, "bin", "python")
    mark = os.path.join(VENV, "installed")
    wanted = "\n".join(VALIDATORS)
    if os.path.isfile(mark) and content(mark) == wanted:
        return python, None
    for words in (
        [sys.executable, "-m", "venv", "--clear", VENV],
        [python, "-m", "pip", "install", "--quiet", *VALIDATORS],
    ):
        result = run(*words)
        if result.returncode != 0:
            last = (result.stderr or result.stdout).strip().splitlines()[-1:]
            return None, f"the validators cannot be had from PyPI: {' '.join(last)}"
    with open(mark, "w", encoding="utf-8") as file:
        file.write(wanted)
    return python, None


def artefacts():
    """Architectures whose artefact is there."""
    here = [arch for arch in MACHINES if os.path.isfile(f"{DIST}/{arch}/bootstrap")]
    if not here:
        raise unittest.SkipTest("no artefact is there: make builds it")
    return here


class Sbom(unittest.TestCase):
    def write(self, arch, folder, artefact=None):
        artefact = artefact or f"{DIST}/{arch}/bootstrap"
        recipe = f"{DIST}/{arch}/recipe"
        words = [sys.executable, SBOM, "--arch", arch, "--artefact", artefact]
        result = run(*words, "--recipe", recipe, "--out", folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.split()

    def load(self, arch):
        with tempfile.TemporaryDirectory() as folder:
            return [json.loads(content(path)) for path in self.write(arch, folder)]

    def test_documents_are_valid_by_the_formats_validators(self):
        python, reason = validator()
        if python is None:
            self.skipTest(reason)
        for arch in artefacts():
            with tempfile.TemporaryDirectory() as folder:
                layer = f"{folder}/layer.zip"
                with zipfile.ZipFile(layer, "w") as archive:
                    archive.write(f"{DIST}/{arch}/bootstrap", "bootstrap")
                paths = self.write(arch, folder) + self.write(arch, folder, layer)
                self.assertEqual(len(paths), 4)
                for path, check in zip(paths, [CHECK_CYCLONEDX, CHECK_SPDX] * 2):
                    result = run(python, "-c", check, path)
                    self.assertEqual(result.returncode, 0, f"{path}: {result.stderr}")
                    # And the validators do find what is wrong.
                    wrong = re.sub(r'"(name|SPDXID)": ', '"wrong": ', content(path))
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(wrong)
                    self.assertNotEqual(run(python, "-c", check, path).returncode, 0, path)

    def test_same_artefact_gives_the_same_bytes(self):
        arch = artefacts()[0]
        texts = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                texts.append([content(path) for path in self.write(arch, folder)])
        self.assertEqual(texts[0], texts[1])

    def test_every_part_has_version_licence_and_hash(self):
        for arch in artefacts():
            bom, spdx = self.load(arch)
            for part in [bom["metadata"]["component"], *bom["components"]]:
                self.assertTrue(part["version"] and part["licenses"] and part["purl"], part)
                self.assertRegex(part["hashes"][0]["content"], "^[0-9a-f]{64}$", part["name"])
            self.assertEqual(len(spdx["packages"]), len(bom["components"]) + 1)
            names = {part["name"] for part in bom["components"]}
            self.assertLessEqual({"zerostrap", "std", "core", "compiler_builtins", "musl"}, names)

    def test_crates_are_those_that_the_build_compiled(self):
        target_dir = os.environ.get("ZEROSTRAP_BUILT", os.path.join(ROOT, "target"))
        for arch in artefacts():
            deps = f"{target_dir}/{MACHINES[arch]}-unknown-linux-musl/release/deps"
            if not os.path.isdir(deps):
                self.skipTest(f"{deps} is not there: ZEROSTRAP_BUILT names Cargo's target folder")
            built = {
                re.sub(r"^lib(.*)-[0-9a-f]{16}\.rlib$", r"\1", name).replace("_", "-")
                for name in os.listdir(deps)
                if name.endswith(".rlib")
            }
            bom, _ = self.load(arch)
            for part in bom["components"]:
                if not part["name"].startswith(("zerostrap", "musl", "gcc-")):
                    self.assertIn(part["name"].replace("_", "-"), built)


def members(archive):
    """Name and bytes of each member of an ar(5) archive with GNU's long names."""
    with open(archive, "rb") as file:
        data = file.read()
    at, long_names = 8, b""
    while at + 60 <= len(data):
        name, size = data[at : at + 16].rstrip(), int(data[at + 48 : at + 58])
        content = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if name == b"//":
            long_names = content
        elif re.fullmatch(rb"/\d+", name):
            name = long_names[int(name[1:]) :].split(b"\n")[0]
        yield name.rstrip(b"/").decode(), content


def code_of(member):
    """The bytes of the executable sections of a 64-bit relocatable ELF file."""
    (table,) = struct.unpack_from("<Q", member, 40)
    size, count = struct.unpack_from("<HH", member, 58)
    for index in range(count):
        kind, flags = struct.unpack_from("<IQ", member, table + index * size + 4)
        offset, length = struct.unpack_from("<QQ", member, table + index * size + 24)
        if kind == 1 and flags & 4:
            yield member[offset : offset + length]


def linked(binary, member):
    """Whether a member's code is in a program: runs of 16 bytes that no relocation changed."""
    runs = [
        code[at : at + 16]
        for code in code_of(member)
        for at in range(0, len(code) - 15, 16)
    ]
    found = sum(run in binary for run in runs)
    return bool(runs) and found * 2 > len(runs)


class Vex(unittest.TestCase):
    def setUp(self):
        self.vex = json.loads(content(VEX))

    def test_document_has_the_form_of_openvex(self):
        self.assertEqual(self.vex["@context"], "https://openvex.dev/ns/v0.2.0")
        for field in ("@id", "author", "timestamp", "version", "statements"):
            self.assertIn(field, self.vex)
        for statement in self.vex["statements"]:
            self.assertRegex(statement["vulnerability"]["name"], r"^CVE-\d{4}-\d{4,}$")
            self.assertIn(statement["status"], ("not_affected", "fixed", "under_investigation"))
            self.assertEqual(statement["justification"], "vulnerable_code_not_present")
            self.assertTrue(statement["impact_statement"])

    def test_products_are_those_of_the_sboms(self):
        version = tomllib.loads(content(os.path.join(ROOT, "Cargo.toml")))["package"]["version"]
        wanted = {f"pkg:generic/zerostrap@{version}?arch={arch}" for arch in MACHINES}
        for statement in self.vex["statements"]:
            self.assertEqual({product["@id"] for product in statement["products"]}, wanted)

    def test_statements_about_musl_name_the_version_of_either_toolchain(self):
        wanted = {"pkg:generic/musl@1.2.5", "pkg:generic/musl@1.2.3"}
        for statement in self.vex["statements"]:
            for product in statement["products"]:
                parts = {part["@id"] for part in product.get("subcomponents", [])}
                self.assertIn(parts, (set(), wanted))

    def test_code_that_is_said_to_be_absent_is_absent(self):
        for arch in artefacts():
            target = f"{MACHINES[arch]}-unknown-linux-musl"
            sysroot = subprocess.run(
                ["rustc", "--print", "sysroot"], cwd=ROOT, capture_output=True, text=True
            ).stdout.strip()
            archive = f"{sysroot}/lib/rustlib/{target}/lib/self-contained/libc.a"
            if not os.path.isfile(archive):
                archive = f"/usr/lib/{MACHINES[arch]}-linux-musl/libc.a"
            with open(f"{DIST}/{arch}/bootstrap", "rb") as file:
                binary = file.read()
            parts = {name.rsplit(".", 1)[0]: member for name, member in members(archive)}
            for name in ("iconv", "qsort", "qsort_nr"):
                self.assertFalse(linked(binary, parts[name]), f"{arch}: {name}")
            # The look finds what is there, and whatever takes memory has this.
            self.assertTrue(linked(binary, parts["malloc"]), f"{arch}: malloc")


class Provenance(unittest.TestCase):
    def test_statement_names_every_file_by_its_hash(self):
        if not os.path.exists(os.path.join(ROOT, ".git")):
            self.skipTest("this is no repository, and a release is of a commit")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("bootstrap-arm64", "recipe-arm64", "provenance.intoto.json"):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(f"{name}\n")
            result = run(sys.executable, os.path.join(ROOT, "deploy", "provenance.py"), folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        statement = json.loads(result.stdout)
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
        self.assertEqual(statement["predicateType"], "https://slsa.dev/provenance/v1")
        names = ("bootstrap-arm64", "recipe-arm64")
        sums = {name: hashlib.sha256(f"{name}\n".encode()).hexdigest() for name in names}
        told = {part["name"]: part["digest"]["sha256"] for part in statement["subject"]}
        self.assertEqual(told, sums)
        definition = statement["predicate"]["buildDefinition"]
        self.assertRegex(definition["externalParameters"]["commit"], "^[0-9a-f]{40}$")
        self.assertEqual(definition["internalParameters"]["recipes"]["arm64"], "recipe-arm64")
        self.assertTrue(statement["predicate"]["runDetails"]["builder"]["id"])


if __name__ == "__main__":
    unittest.main()
