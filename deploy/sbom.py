#!/usr/bin/env python3
"""Writes what an artefact is made of, as CycloneDX 1.6 and as SPDX 2.3, both JSON.

    deploy/sbom.py --arch x86_64|arm64 --artefact FILE --out FOLDER

In: the artefact, `dist/ARCH/recipe` beside the bootstrap, which says how std was had, and the
toolchain that built it: the lock file of std's source, and the libc that was linked. Out:
FOLDER/NAME.cdx.json and FOLDER/NAME.spdx.json. The same input gives the same bytes: times and
identifiers come from the commit and from the artefact's hash.

cargo says what is linked, with the features that build.sh selects for std. Nothing is guessed.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
# Empty crates, which exist so that others can depend on core, alloc and std by name.
SHIMS = ("rustc-std-workspace-core", "rustc-std-workspace-alloc", "rustc-std-workspace-std")
NAMESPACE = uuid.UUID("6f7cf1d8-40f5-5a43-9d3c-6d5f1d3c2b6e")


class Missing(Exception):
    """Something that this script reads is not there."""


def output(*words, **environment):
    # What a rustup toolchain's rustc says in a folder depends on rust-toolchain.toml there.
    result = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    if result.returncode != 0:
        raise Missing(f"{' '.join(words)}: {result.stderr.strip()}")
    return result.stdout


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def tree_sha256(folder, names):
    """Returns one hash for many files: of what sha256sum prints for them, sorted by path."""
    paths = []
    for name in names:
        top = os.path.join(folder, name)
        below = [os.path.join(at, file) for at, _, files in os.walk(top) for file in files]
        paths += below or [top]
    lines = [f"{sha256(path)}  {os.path.relpath(path, folder)}\n" for path in paths]
    lines.sort(key=lambda line: line.split("  ", 1)[1])
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest(path):
    with open(path, "rb") as file:
        return tomllib.load(file)


def commit_time():
    """When the commit was made, for documents that must have a time; it is the tree's own."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None and os.path.exists(os.path.join(ROOT, ".git")):
        epoch = output("git", "log", "-1", "--format=%ct").strip()
    moment = datetime.datetime.fromtimestamp(int(epoch or 0), datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def component(name, version, licence, purl, what, digest, source=None):
    return {
        "name": name,
        "version": version,
        "licence": licence.replace("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        "purl": purl,
        "what": what,
        "sha256": digest,
        "source": source,
    }


def rust_components(target, recipe):
    """std and what it links, by `cargo tree` on std's own source."""
    release = re.search(r"^release: (.*)$", output("rustc", "-vV"), re.M).group(1)
    commit = re.search(r"^commit-hash: (.*)$", output("rustc", "-vV"), re.M).group(1)
    library = os.path.join(
        output("rustc", "--print", "sysroot").strip(), "lib/rustlib/src/rust/library"
    )
    if not os.path.isfile(os.path.join(library, "Cargo.lock")):
        raise Missing(f"{library} is not there: rustup component add rust-src")
    words = ["cargo", "tree", "--manifest-path", os.path.join(library, "std/Cargo.toml")]
    words += ["--locked", "--offline", "--target", target, "--edges", "normal"]
    # As build-std does: what std's own tests need is not looked for, and Debian does not ship it.
    words += ["-Zavoid-dev-deps"]
    words += ["--prefix", "none", "--format", "{p}|{l}"]
    if "std rebuilt" in recipe:
        words += ["--no-default-features", "--features", "optimize_for_size"]
    vendor = os.path.join(library, "vendor")
    if os.path.isdir(vendor):
        words += ["--config", "source.crates-io.replace-with='std'"]
        words += ["--config", f"source.std.directory='{vendor}'"]
    locked = {
        (package["name"], package["version"]): package.get("checksum")
        for package in manifest(os.path.join(library, "Cargo.lock"))["package"]
    }
    found = {}
    for line in output(*words, RUSTC_BOOTSTRAP="1").splitlines():
        crate, licence = line.replace(" (*)", "").split("|")
        name, version, *folder = crate.split(" ", 2)
        version = version.removeprefix("v")
        if name in SHIMS:
            continue
        checksum = locked.get((name, version))
        if checksum is not None:
            what = "a crate that std brings, linked in; the hash is that of its .crate"
            found[name] = component(
                name, version, licence, f"pkg:cargo/{name}@{version}", what, checksum
            )
        else:
            # Crates of Rust's own tree have no version of their own, or one that is not published.
            version = release if version == "0.0.0" else version
            what = f"of Rust {release}, commit {commit}; the hash is that of its files' sha256sum"
            digest = tree_sha256(folder[0].strip("()"), ["."])
            source = f"git+https://github.com/rust-lang/rust@{commit}"
            purl = f"pkg:github/rust-lang/rust@{commit}#library/{name}"
            found[name] = component(name, version, licence, purl, what, digest, source)
    return [found[name] for name in sorted(found)]


def libc_components(target):
    """musl, and the start files that its linker puts around a program."""
    sysroot = output("rustc", "--print", "sysroot").strip()
    own = os.path.join(sysroot, "lib/rustlib", target, "lib/self-contained")
    debian = "/usr/lib/" + target.replace("-unknown", "")
    folder = own if os.path.isfile(os.path.join(own, "libc.a")) else debian
    archive = os.path.join(folder, "libc.a")
    if not os.path.isfile(archive):
        raise Missing(f"neither {own} nor {debian} has a libc.a")
    with open(archive, "rb") as file:
        # The archive's own version string, between two zero bytes.
        version = re.search(rb"\0(1\.\d+\.\d+)\0", file.read())
    if version is None:
        raise Missing(f"{archive} does not say its version")
    musl = version.group(1).decode()
    whose = "the Rust toolchain's" if folder == own else "Debian's musl-dev's"
    what = f"{whose}; only what is called is linked; the hash is that of libc.a"
    parts = [
        component("musl", musl, "MIT", f"pkg:generic/musl@{musl}", what, sha256(archive))
    ]
    start = os.path.join(own, "crtbeginS.o" if target.startswith("x86_64") else "crtbegin.o")
    if folder == own and os.path.isfile(start):
        with open(start, "rb") as file:
            gcc = re.search(rb"GCC: \(.*?\) (\d+\.\d+\.\d+)", file.read())
        version = gcc.group(1).decode() if gcc else "unknown"
        licence = "GPL-3.0-or-later WITH GCC-exception-3.1"
        what = f"the toolchain's {os.path.basename(start)} and its end, around a program"
        purl = f"pkg:generic/gcc-crtstuff@{version}"
        parts.append(component("gcc-crtstuff", version, licence, purl, what, sha256(start)))
    return parts


def own_component(artefact, arch):
    package = manifest(os.path.join(ROOT, "Cargo.toml"))["package"]
    name, version = package["name"], package["version"]
    root = component(
        os.path.basename(artefact),
        version,
        package["license"],
        f"pkg:generic/{name}@{version}?arch={arch}",
        f"{package['description']} ({arch})",
        sha256(artefact),
    )
    crate = component(
        name,
        version,
        package["license"],
        f"pkg:cargo/{name}@{version}",
        "the package itself, without dependencies; the hash is that of its files' sha256sum",
        tree_sha256(ROOT, ["Cargo.toml", "Cargo.lock", "build.rs", "src"]),
    )
    return root, crate


def packed_components(artefact, version):
    """What an archive holds, file by file: the bootstrap, and the function beside it."""
    if not zipfile.is_zipfile(artefact):
        return []
    with zipfile.ZipFile(artefact) as archive:
        files = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    sums = [(name, hashlib.sha256(data).hexdigest()) for name, data in files]
    what = "a file of the archive"
    return [component(name, version, "MIT", None, what, digest, None) for name, digest in sums]


def reference(part):
    return part["purl"] or f"file:{part['name']}"


def cyclonedx(root, parts, time):
    def shape(part, kind):
        # An expression if there is a choice, else an identifier.
        plain = re.fullmatch(r"[A-Za-z0-9.\-]+", part["licence"])
        licence = {"license": {"id": part["licence"]}} if plain else {"expression": part["licence"]}
        shaped = {
            "type": kind,
            "bom-ref": reference(part),
            "name": part["name"],
            "version": part["version"],
            "description": part["what"],
            "licenses": [licence],
            "hashes": [{"alg": "SHA-256", "content": part["sha256"]}],
        }
        if part["purl"]:
            shaped["purl"] = part["purl"]
        if part["source"]:
            url = part["source"].removeprefix("git+").split("@")[0]
            shaped["externalReferences"] = [{"type": "vcs", "url": url}]
        return shaped

    serial = uuid.uuid5(NAMESPACE, root["name"] + root["sha256"])
    refs = [reference(part) for part in parts]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"timestamp": time, "component": shape(root, "application")},
        "components": [shape(part, "library" if part["purl"] else "file") for part in parts],
        "dependencies": [
            {"ref": root["purl"], "dependsOn": refs},
            *({"ref": ref, "dependsOn": []} for ref in refs),
        ],
    }


def spdx(root, parts, time):
    def identifier(part):
        kind = "" if part["purl"] else "file-"
        return f"SPDXRef-{kind}" + re.sub(r"[^A-Za-z0-9.\-]", "-", part["name"])

    def shape(part, kind):
        shaped = {
            "SPDXID": "SPDXRef-artefact" if part is root else identifier(part),
            "name": part["name"],
            "versionInfo": part["version"],
            "downloadLocation": part["source"] or "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": part["licence"],
            "licenseDeclared": part["licence"],
            "copyrightText": "NOASSERTION",
            "primaryPackagePurpose": kind,
            "comment": part["what"],
            "checksums": [{"algorithm": "SHA256", "checksumValue": part["sha256"]}],
        }
        if part["purl"]:
            shaped["externalRefs"] = [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": part["purl"],
                }
            ]
        return shaped

    name = f"{root['name']}-{root['version']}"
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/zerostrap-{root['sha256']}",
        "creationInfo": {"created": time, "creators": ["Tool: zerostrap-sbom"]},
        "packages": [
            shape(root, "APPLICATION"),
            *(shape(part, "LIBRARY" if part["purl"] else "FILE") for part in parts),
        ],
    }
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-artefact")]
    relations += [
        ("SPDXRef-artefact", "STATIC_LINK" if part["purl"] else "CONTAINS", identifier(part))
        for part in parts
    ]
    document["relationships"] = [
        {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
        for one, kind, other in relations
    ]
    return document


def write(path, document):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, ensure_ascii=True)
        file.write("\n")
    print(path)


def main(words):
    parser = argparse.ArgumentParser(description="Writes an artefact's SBOMs.", prog="sbom.py")
    parser.add_argument("--arch", required=True, choices=sorted(MACHINES))
    parser.add_argument("--artefact", required=True, help="the bootstrap, a layer or a zip")
    parser.add_argument("--recipe", help="dist/ARCH/recipe, if it lies elsewhere")
    parser.add_argument("--out", required=True, help="a folder")
    arguments = parser.parse_args(words)
    recipe_path = arguments.recipe or os.path.join(ROOT, "dist", arguments.arch, "recipe")
    try:
        with open(recipe_path, encoding="utf-8") as file:
            recipe = file.read().strip()
        target = recipe.split(",")[0]
        if not target.startswith(MACHINES[arguments.arch] + "-"):
            raise Missing(f"{recipe_path} is of {target}, not of {arguments.arch}")
        root, crate = own_component(arguments.artefact, arguments.arch)
        parts = [crate, *rust_components(target, recipe), *libc_components(target)]
        parts += packed_components(arguments.artefact, root["version"])
        root["what"] += f"; built for {recipe}"
    except (Missing, OSError) as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    time = commit_time()
    name = os.path.splitext(root["name"])[0].removesuffix(f"-{arguments.arch}")
    name = f"{name}-{arguments.arch}"
    os.makedirs(arguments.out, exist_ok=True)
    write(os.path.join(arguments.out, f"{name}.cdx.json"), cyclonedx(root, parts, time))
    write(os.path.join(arguments.out, f"{name}.spdx.json"), spdx(root, parts, time))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
