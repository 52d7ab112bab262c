"""`make install`, and what it installs on a machine without Rust."""

import os
import shutil
import unittest
import zipfile

import command
import support
from support import HERE, OTHER, ROOT, environment, run, write


def prefix():
    """Made once, by `make install`."""
    folder = os.path.join(ROOT, "target", "installed here")
    if not prefix.done:
        shutil.rmtree(folder, ignore_errors=True)
        done = run(["make", "-s", "install", f"PREFIX={folder}"], cwd=ROOT, seconds=900)
        if done.returncode != 0 and "is not here" in done.stderr:
            raise unittest.SkipTest(
                "a static program cannot be built: " + done.stderr.splitlines()[-1]
            )
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        prefix.done = True
    return folder


prefix.done = False


class Installed(command.Case):
    def command(self, *words, **options):
        options.setdefault("cwd", self.folder)
        # Neither a checkout nor a compiler is of any use to it.
        env = environment(PATH="/usr/bin:/bin", CARGO_TARGET_DIR="/nowhere")
        return run([os.path.join(prefix(), "bin", "zerostrap"), *words], env=env, **options)

    def test_files_are_these(self):
        found = sorted(
            os.path.relpath(os.path.join(folder, name), prefix())
            for folder, _, names in os.walk(prefix())
            for name in names
        )
        wanted = [
            "bin/zerostrap",
            "lib/zerostrap/emulator",
            "lib/zerostrap/pack.py",
            "lib/zerostrap/provided.al2023.commands",
            f"lib/zerostrap/{HERE}/bootstrap",
        ]
        if f"lib/zerostrap/{OTHER}/bootstrap" in found:
            wanted.append(f"lib/zerostrap/{OTHER}/bootstrap")
        self.assertEqual(found, sorted(wanted))

    def test_commands_work_from_any_folder_with_paths_relative_to_it(self):
        self.script()
        write(os.path.join(self.folder, "event"), '{"a":1}')
        done = self.command("invoke", "--task", "task", "--event", "@event")
        self.assertEqual((done.returncode, done.stdout), (0, '{"a":1}'), done.stderr)
        done = self.command("--version")
        self.assertRegex(done.stdout, r"^zerostrap [0-9.]+ \(commit ")
        done = self.command("check", "--task", "task")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.command("zip", "--task", "task", "--out", "out/f.zip")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.command("zip", cwd=self.task)
        self.assertEqual(done.returncode, 0, done.stderr)
        for path in ("out/f.zip", "task/function.zip"):
            with zipfile.ZipFile(os.path.join(self.folder, path)) as packed:
                self.assertEqual(packed.namelist(), ["bootstrap", "function.sh"])
        done = self.command("layer", "--out", "layer.zip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "layer.zip")))

    def test_link_to_the_command_finds_what_it_needs(self):
        self.script()
        link = os.path.join(self.folder, "zs")
        os.symlink(os.path.join(prefix(), "bin", "zerostrap"), link)
        done = run([link, "invoke", "--task", self.task])
        self.assertEqual((done.returncode, done.stdout), (0, "{}"), done.stderr)

    def test_other_architecture_is_packed_and_checked(self):
        if not os.path.exists(os.path.join(prefix(), "lib", "zerostrap", OTHER)):
            self.skipTest(f"there is no bootstrap for {OTHER}")
        self.script()
        done = self.command("zip", "--task", "task", "--arch", OTHER)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"for --architectures {OTHER}", done.stdout)
        self.script("handler() {\n")
        done = self.command("zip", "--task", "task", "--arch", OTHER)
        self.assertEqual(done.returncode, 1)
        self.assertIn("would not start on Lambda", done.stderr)

    def test_zip_of_a_rust_function_has_no_handler(self):
        program = os.path.join(prefix(), "lib", "zerostrap", HERE, "bootstrap")
        done = self.command("zip", "--bootstrap", program)
        self.assertEqual(done.returncode, 0, done.stderr)
        with zipfile.ZipFile(os.path.join(self.folder, "function.zip")) as packed:
            self.assertEqual(packed.namelist(), ["bootstrap"])


@unittest.skipIf(os.geteuid() != 0, "a chroot needs root")
class Bare(command.Case):
    """A root folder with nothing but busybox, bash and the installed files."""

    def root(self):
        busybox = shutil.which("busybox")
        if busybox is None or "interpreter" in run(["readelf", "-l", busybox]).stdout:
            self.skipTest("a static busybox is not installed (busybox-static)")
        root = os.path.join(self.folder, "root")
        for folder in ("bin", "usr/bin", "proc", "dev", "tmp", "task"):
            os.makedirs(os.path.join(root, folder))
        shutil.copy(busybox, os.path.join(root, "bin", "busybox"))
        for name in ("sh", "uname", "readlink", "dirname", "cat", "wget", "sleep"):
            os.symlink("busybox", os.path.join(root, "bin", name))
        needed = run(["ldd", "/bin/bash"]).stdout
        libraries = [word for word in needed.split() if word.startswith("/")]
        for path in ["/bin/bash", *libraries]:
            target = os.path.join(root, path.lstrip("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.realpath(path), target)
        null = os.path.join(root, "dev", "null")
        os.mknod(null, 0o20666, os.makedev(1, 3))
        shutil.copytree(prefix(), os.path.join(root, "usr"), dirs_exist_ok=True)
        return root

    def inside(self, root):
        chroot = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin")
        script = f'mount --bind /proc "$0/proc"; exec {chroot} "$0" "$@"'
        return ["unshare", "--mount", "/bin/sh", "-euc", script, root]

    def test_shell_function_is_tried_without_rust_and_without_python(self):
        root = self.root()
        inside = self.inside(root)
        if run([*inside, "/bin/sh", "-c", ":"]).returncode != 0:
            self.skipTest("unshare, mount and chroot are not allowed here")
        write(os.path.join(root, "task", "function.sh"), "handler() { printf '[%s]' \"$1\"; }\n")
        env = {"PATH": "/usr/bin:/bin"}
        invoke = ["/usr/bin/zerostrap", "invoke", "--task", "/task", "--event", '{"a":1}']
        done = run([*inside, *invoke], env=env)
        self.assertEqual((done.returncode, done.stdout), (0, '[{"a":1}]'), done.stderr)
        done = run([*inside, "/usr/bin/zerostrap", "check", "--task", "/task"], env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run([*inside, "/usr/bin/zerostrap", "zip", "--task", "/task"], env=env)
        self.assertEqual(done.returncode, 2)
        self.assertIn("zip needs Python 3.8 or newer", done.stderr)
        port = support.free_port()
        serve = ["/usr/bin/zerostrap", "serve", "--task", "/task", "--port", port]
        with support.Server([*inside, *serve], port, env=env) as server:
            self.assertEqual(server.invoke("7"), "[7]")
