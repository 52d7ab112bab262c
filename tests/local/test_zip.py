"""Packing by the command `zerostrap`: what it says, and how it ends."""

import os

import command


class Zip(command.Case):
    def test_wrong_usage_ends_with_status_2_and_names_the_command(self):
        self.script()
        for name in ("zip", "check", "layer", "tree"):
            out = [] if name == "check" else ["--out", os.path.join(self.folder, "new")]
            for words, said in (
                (["--foo"], f"zerostrap {name}: --foo is not known; zerostrap {name} --help"),
                (["extra"], f"zerostrap {name}: extra is not known"),
                (["--task", "nosuch"], "zerostrap: nosuch is not a folder: --task"),
                (["--bootstrap", "nosuch"], "zerostrap: nosuch is not there"),
                (["--bootstrap"], "zerostrap: --bootstrap needs a value"),
                (["--arch", "mips"], "zerostrap: --arch is mips: x86_64 or arm64"),
            ):
                done = self.command(name, *out, *words)
                self.assertEqual((done.returncode, done.stdout), (2, ""), (name, words))
                (line,) = done.stderr.splitlines()
                self.assertTrue(line.startswith(said), line)
            self.assertIn(f"usage: zerostrap {name} ", self.command(name, "--help").stdout)
        done = self.command("tree")
        self.assertEqual(done.returncode, 2)
        self.assertIn("required: --out", done.stderr)
