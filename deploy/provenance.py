#!/usr/bin/env python3
"""Writes how the files of a release were built: an in-toto statement, SLSA provenance v1.

    deploy/provenance.py FOLDER > FOLDER/provenance.intoto.json

In: a folder of finished files with recipe-ARCH among them, the commit, the toolchain. Out: the
statement, unsigned; docs/releasing.md says how its owner signs it. It holds no time and no name of a
machine: every build of one commit with one toolchain has the same statement.
"""

import hashlib
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ITSELF = "provenance.intoto.json"


def output(*words):
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def digest(path):
    with open(path, "rb") as file:
        return {"sha256": hashlib.sha256(file.read()).hexdigest()}


def builder():
    """Returns who ran it: a CI, if the environment names one, else a person."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (os.environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if run else "urn:zerostrap:builder:local"


def statement(folder):
    names = sorted(name for name in os.listdir(folder) if name != ITSELF)
    commit = output("git", "rev-parse", "HEAD").strip()
    compiler = output("rustc", "-vV")
    field = {
        name: re.search(f"^{name}: (.*)$", compiler, re.M).group(1)
        for name in ("release", "commit-hash")
    }
    recipes = {}
    for name in names:
        if name.startswith("recipe-"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                recipes[name.removeprefix("recipe-")] = file.read().strip()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": name, "digest": digest(os.path.join(folder, name))} for name in names
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:zerostrap:make-release:v1",
                "externalParameters": {"command": "make release", "commit": commit},
                "internalParameters": {"recipes": recipes},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": commit}},
                    {
                        "name": f"rust-{field['release']}",
                        "uri": f"git+https://github.com/rust-lang/rust@{field['commit-hash']}",
                        "digest": {"gitCommit": field["commit-hash"]},
                    },
                    {"name": "Cargo.lock", "digest": digest(os.path.join(ROOT, "Cargo.lock"))},
                ],
            },
            "runDetails": {"builder": {"id": builder()}},
        },
    }


if __name__ == "__main__":
    json.dump(statement(sys.argv[1]), sys.stdout, indent=2, ensure_ascii=True)
    print()
