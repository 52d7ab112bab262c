#!/usr/bin/env python3
"""Writes all that an auditor reads into one file: python3 tests/audit/page.py [FILE]

In: docs/audit.md with its reading order and claims, the source, SECURITY.md, docs/system-calls.md,
dist/, and what `make coverage` left, where it is. Out: dist/audit.html, one file that names no
other, needs no script, and can be printed.
"""

import hashlib
import html
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
NAMED_FILE = re.compile(r"(?<![\w/])((?:src|tests|deploy|docs|fuzz)/[\w./-]*\w|[A-Z]+\.md|build\.rs)")
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 Georgia, serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff; }
h1, h2, h3 { font-family: Helvetica, Arial, sans-serif; line-height: 1.2; }
h2 { margin-top: 3rem; border-bottom: 2px solid #111; }
h3 { margin-top: 2rem; }
code, pre { font: 12px/1.45 Menlo, Consolas, "DejaVu Sans Mono", monospace; }
a { color: #0b4f8a; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { border: 1px solid #aaa; padding: .25rem .5rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { background: #eee; }
td:first-child { min-width: 11rem; }
pre.source { border: 1px solid #aaa; padding: .5rem 0; margin: .5rem 0; white-space: pre-wrap;
  overflow-wrap: anywhere; }
pre.source span { display: block; padding-left: 6.5rem; text-indent: -6.5rem; }
pre.source span::before { content: attr(data-n); display: inline-block; width: 6rem;
  margin-right: .5rem; text-indent: 0; text-align: right; color: #666; white-space: pre; }
pre.source .no { background: #ffe3e0; }
.line { border-bottom: 1px solid #111; height: 2.2rem; }
:target { outline: 2px solid #0b4f8a; }
@page { margin: 15mm; }
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; }
  code, pre { font-size: 7.5pt; }
  h2 { break-before: page; }
  h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
"""


def read(path):
    return (ROOT / path).read_text()


def section(path, heading):
    """A part of a page, from its heading to the next of the same depth."""
    found = re.search(rf"(?ms)^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", read(path))
    if not found:
        raise SystemExit(f"audit: {path} has no heading {heading!r}")
    return found[1]


def rows(text):
    """The cells of each row of a table, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        cells = line.replace("\\|", "\0").strip().strip("|").split("|")
        yield [cell.strip().replace("\0", "|") for cell in cells]


def anchor(name):
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


class Page:
    def __init__(self):
        order = section("docs/audit.md", "Reading order")
        self.files = [row[0].strip("`") for row in rows(order) if row[0].startswith("`")]
        # What the program is made of besides, should the page have forgotten a file.
        there = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "src").rglob("*") if p.is_file())
        self.files += [file for file in there if file not in self.files]
        self.files += ["build.rs", "Cargo.toml"]
        self.notes = dict(re.findall(r"(?ms)^### `(.*?)`\n(.*?)(?=^###? |^\*\*|\Z)", order))
        self.tests = self.find_tests()
        path = TARGET / "coverage/lines.json"
        self.coverage = json.loads(path.read_text()) if path.exists() else {}
        self.shown = {}

    def find_tests(self):
        """{name of a test: (file, first line, last line)}."""
        found = {}
        for folder in ("src", "tests"):
            for path in sorted((ROOT / folder).rglob("*")):
                if path.suffix not in (".rs", ".py"):
                    continue
                text = path.read_text().splitlines()
                for at, line in enumerate(text):
                    name = re.match(r"( *)(?:fn|def) (\w+)\(", line)
                    if not name:
                        continue
                    if path.suffix == ".rs":
                        ends = (n for n in range(at, len(text)) if text[n] == name[1] + "}")
                    else:
                        ends = (
                            n - 1
                            for n in range(at + 1, len(text))
                            if text[n].strip() and not text[n].startswith(name[1] + " ")
                        )
                    end = next(ends, len(text) - 1)
                    found.setdefault(name[2], (str(path.relative_to(ROOT)), at + 1, end + 1))
        return found

    # Text of our pages: paragraphs, lists, tables, code, bold words and links.

    def words(self, text):
        out = []
        for part in re.split(r"(`[^`]*`)", text):
            if part.startswith("`"):
                inner = part.strip("`")
                code = f"<code>{html.escape(inner)}</code>"
                out.append(self.linked(inner, code))
                continue
            part = re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", part)
            part = html.escape(part)
            part = re.sub(r"\[([^]]*)\]\((https?:[^)]*)\)", r'<a href="\2">\1</a>', part)
            part = re.sub(r"\*\*([^*]*)\*\*", r"<strong>\1</strong>", part)
            part = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", part)
            out.append(NAMED_FILE.sub(lambda name: self.linked(name[0], name[0]), part))
        return "".join(out)

    def linked(self, name, shown):
        if name in self.files:
            return f'<a href="#{anchor(name)}">{shown}</a>'
        if name in self.tests and name in self.shown:
            return f'<a href="#test-{name}">{shown}</a>'
        return shown

    def text(self, source):
        out, block = [], []

        def flush():
            if not block:
                return
            joined = " ".join(line.strip() for line in block)
            if block[0].startswith("|"):
                cells = [list(map(self.words, row)) for row in rows("\n".join(block))]
                heading = next(rows("\n".join([block[1], block[1], block[0]])))
                out.append(table(list(map(self.words, heading)), cells))
            elif block[0].startswith("- "):
                items = re.split(r"(?:^| )- (?=\S)", joined)[1:]
                out.append("<ul>" + "".join(f"<li>{self.words(i)}</li>" for i in items) + "</ul>")
            else:
                out.append(f"<p>{self.words(joined)}</p>")
            block.clear()

        in_code = False
        for line in source.splitlines():
            if line.startswith("```"):
                flush()
                out.append("</pre>" if in_code else "<pre>")
                in_code = not in_code
            elif in_code:
                out.append(html.escape(line) + "\n")
            elif line.startswith("#"):
                flush()
                out.append(f"<h3>{self.words(line.lstrip('# '))}</h3>")
            elif not line.strip():
                flush()
            else:
                if block and line.startswith("|") != block[0].startswith("|"):
                    flush()
                block.append(line)
        flush()
        return "\n".join(out)

    def source(self, file, first=1, last=None, ids=True):
        lines = read(file).splitlines()
        marks = self.coverage.get(file, {})
        out = ['<pre class="source">']
        for number, line in enumerate(lines[first - 1 : last], first):
            times = marks.get(str(number))
            mark = "" if times is None else "+" if times else "-"
            kind = ' class="no"' if mark == "-" else ""
            name = f' id="{anchor(file)}-{number}"' if ids else ""
            shown = html.escape(line) or " "
            out.append(f'<span{name}{kind} data-n="{mark}  {number}">{shown}</span>')
        out.append("</pre>")
        return "".join(out)

    # The parts.

    def claims(self):
        found = list(rows(section("docs/audit.md", "Claims")))
        for row in found:
            for name in re.findall(r"`(\w+)`", row[2]):
                if name in self.tests:
                    self.shown[name] = self.tests[name]
        out = [
            "<p>Each with the code that makes it true and the tests that show it; a name leads to it."
            "</p>"
        ]
        out.append(table(["claim", "made true by", "shown by"], [map(self.words, r) for r in found]))
        return "".join(out)

    def tests_of_claims(self):
        out = []
        for name, (file, first, last) in sorted(self.shown.items()):
            out.append(f'<h3 id="test-{name}"><code>{name}</code></h3><p>{html.escape(file)}</p>')
            out.append(self.source(file, first, last, ids=False))
        return "".join(out)

    def code(self):
        out = []
        if self.coverage:
            out.append(
                "<p>Before a line's number, + says that a test reaches it, - and a red ground that "
                "none does; docs/coverage.md has the reasons.</p>"
            )
        else:
            out.append("<p>Which lines the tests reach is not marked: make coverage did not run.</p>")
        for file in self.files:
            out.append(f'<h3 id="{anchor(file)}"><code>{file}</code></h3>')
            out.append(self.text(self.notes.get(file, "")))
            out.append(self.source(file))
        return "".join(out)

    def unsafe(self):
        lines = []
        for file in self.files:
            if not file.startswith("src/"):
                continue
            for number, line in enumerate(read(file).splitlines(), 1):
                if re.match(r"^[^/]*unsafe( \{| extern|\()", line):
                    place = f'<a href="#{anchor(file)}-{number}">{file}:{number}</a>'
                    lines.append([place, f"<code>{html.escape(line.strip())}</code>"])
        return table(["line", "code"], lines) + self.text(section("SECURITY.md", "Unsafe inventory"))

    def order(self):
        cells = []
        for file in self.files:
            marks = self.coverage.get(file, {}).values()
            share = f"{sum(map(bool, marks))} of {len(marks)}" if marks else ""
            lines = str(len(read(file).splitlines()))
            cells.append([f'<a href="#{anchor(file)}"><code>{file}</code></a>', lines, share])
        return table(["file", "lines", "lines with code that a test reaches"], cells)

    def hashes(self):
        def git(*words):
            done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
            return done.stdout.strip() or "unknown: this is no repository"

        changed = git("status", "--porcelain", "--untracked-files=no")
        clean = "differs from its commit" if changed else "as committed"
        found = [
            ["commit", git("rev-parse", "HEAD")],
            ["tree", git("rev-parse", "HEAD^{tree}")],
            ["work tree", clean],
        ]
        for path in sorted((ROOT / "dist").glob("*/bootstrap")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append([str(path.relative_to(ROOT)), digest])
            recipe = path.with_name("recipe")
            if recipe.exists():
                found.append(["its recipe", recipe.read_text().strip()])
        for file in self.files:
            found.append([file, hashlib.sha256((ROOT / file).read_bytes()).hexdigest()])
        cells = [[html.escape(a), f"<code>{html.escape(b)}</code>"] for a, b in found]
        return "<p>Hashes of files are SHA-256.</p>" + table(["of", "hash"], cells)

    def dependencies(self):
        packages = re.findall(r'(?m)^name = "(.*)"', read("Cargo.lock"))
        others = [name for name in packages if name != "zerostrap"]
        said = ", ".join(others) or "none"
        return (
            f"<p>Packages in Cargo.lock besides the program itself: <strong>{said}</strong>.</p>"
            "<p>What the artefact is made of besides: Rust's std and the C library that it is linked "
            "with, which the SBOM names with version and hash.</p>"
        )

    def sheet(self):
        asked = [
            "Read in the order above, all of it",
            "make test: passed, failed, skipped",
            "make reproduce: the hash of the artefact is the one above",
            "make audit: pages and code agree",
            "Lines that no test reaches were looked at",
            "Each unsafe place was looked at",
            "Findings, with file and line",
        ]
        cells = [[item, ""] for item in asked]
        lines = "".join(
            f"<p>{label}</p><div class=line></div>" for label in ("Name", "Place and date", "Signature")
        )
        return table(["what was done", "result, initials"], cells) + lines

    def write(self, out):
        version = re.search(r'(?m)^version = "(.*)"', read("Cargo.toml"))[1]
        # The claims come first: they say which tests are shown, to which other parts link.
        claims = self.claims()
        parts = [
            ("claims", "Claims", claims),
            ("not-defended", "What is defended, and what is not", self.defended()),
            ("order", "Reading order", self.order()),
            ("unsafe", "Unsafe", self.unsafe()),
            ("calls", "System calls", self.text(section("docs/system-calls.md", "Calls"))),
            ("dependencies", "Dependencies", self.dependencies()),
            ("hashes", "Hashes", self.hashes()),
            ("code", "Source", self.code()),
            ("tests", "The tests that carry the claims", self.tests_of_claims()),
            ("sheet", "Sheet to sign", self.sheet()),
        ]
        contents = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in parts)
        body = "".join(f'<h2 id="{name}">{title}</h2>{text}' for name, title, text in parts)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
            f"<title>zerostrap {version}: audit</title><style>{STYLE}</style></head><body>"
            f"<h1>zerostrap {version}: audit</h1><p>One file for whoever has to say yes: made by "
            f"<code>make audit</code> from the tree whose hash is below.</p><ol>{contents}</ol>"
            f"{body}</body></html>\n"
        )

    def defended(self):
        found = [section("SECURITY.md", name) for name in ("Threat model", "Weaknesses of its kind")]
        return self.text("\n".join(found))


def table(heading, cells):
    head = "".join(f"<th>{cell}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist/audit.html"
    Page().write(out)
    print(out if len(sys.argv) > 1 else out.relative_to(ROOT))


if __name__ == "__main__":
    main()
