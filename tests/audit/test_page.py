"""The auditor's page: whole in itself, its links lead somewhere, and all of the source is in it."""

import collections
import html.parser
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links, self.tags = collections.Counter(), set(), collections.Counter()
        self.sources = set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags[tag] += 1
        if "id" in attributes:
            self.ids[attributes["id"]] += 1
        if tag == "a":
            self.links.add(attributes["href"])
        self.sources |= {attributes[name] for name in ("src", "data", "action") if name in attributes}


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "audit.html")
            page = ROOT / "tests/audit/page.py"
            subprocess.run([sys.executable, page, path], check=True, stdout=subprocess.DEVNULL)
            cls.text = path.read_text()
        cls.reader = Reader()
        cls.reader.feed(cls.text)

    def test_links_within_the_page_lead_somewhere(self):
        inner = {link[1:] for link in self.reader.links if link.startswith("#")}
        self.assertGreater(len(inner), 50)
        self.assertEqual(inner - set(self.reader.ids), set())
        self.assertEqual([name for name, count in self.reader.ids.items() if count > 1], [])

    def test_page_needs_no_other_file_and_no_script(self):
        self.assertEqual(self.reader.sources, set())
        for tag in ("script", "link", "img", "iframe"):
            self.assertEqual(self.reader.tags[tag], 0, tag)
        outer = {link for link in self.reader.links if not link.startswith("#")}
        self.assertEqual([link for link in outer if not link.startswith("https://")], [])
        self.assertNotRegex(self.text, r"url\(|@import")

    def test_every_line_of_the_source_is_there(self):
        for path in (ROOT / "src").rglob("*"):
            if path.is_file():
                name = re.sub(r"[^A-Za-z0-9_.-]", "-", str(path.relative_to(ROOT)))
                lines = len(path.read_text().splitlines())
                self.assertIn(f"{name}-{lines}", self.reader.ids)
                self.assertNotIn(f"{name}-{lines + 1}", self.reader.ids)

    def test_every_test_that_a_claim_names_is_shown(self):
        claims = re.search(r"(?ms)^## Claims\n(.*?)^## ", (ROOT / "docs/audit.md").read_text())[1]
        rows = [line.split("|") for line in claims.splitlines() if line.startswith("|")][2:]
        names = {name for row in rows for name in re.findall(r"`(\w+_\w+)`", row[3])}
        self.assertGreater(len(names), 15)
        self.assertEqual({name for name in names if f"test-{name}" not in self.reader.ids}, set())
