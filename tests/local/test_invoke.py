"""`zerostrap invoke`: what is printed where, and the status."""

import json
import os
import pty
import shutil
import signal
import subprocess
import unittest

import command
import support
from support import HERE, OTHER, ROOT, environment, run, until, write


class Invoke(command.Case):
    def test_response_alone_is_on_standard_output_and_the_log_on_standard_error(self):
        self.script('echo at-init; handler() { echo log >&2; cat <<<"$1"; }\n')
        done = self.command("invoke", "--event", '{"a":1}')
        self.assertEqual((done.returncode, done.stdout), (0, '{"a":1}'))
        lines = [line for line in done.stderr.splitlines() if line != "at-init"]
        starts = [line.split(":")[0] for line in lines]
        self.assertEqual(starts, ["START RequestId", "log", "END RequestId", "REPORT RequestId"])
        for figure in ("Duration", "Billed Duration", "Memory Size: 128 MB", "Init Duration"):
            self.assertIn("\t" + figure, lines[-1])

    def test_status_tells_function_error_from_wrong_use(self):
        for script, kind in (
            ("handler() { exit 3; }", "Function.ExitNonZero"),
            ("exit 3", "Runtime.HandlerInitFailed"),
            ("handler() { kill -9 $PPID; sleep 600; }", "Runtime.ExitError"),
            ("other() { :; }", "Runtime.NoSuchHandler"),
        ):
            self.script(script)
            done = self.command("invoke")
            self.assertEqual(json.loads(done.stdout)["errorType"], kind)
            self.assertEqual(done.returncode, 1, kind)
        self.script()
        for words in (
            ["invoke", "--event"],
            ["invoke", "--port", "1"],
            ["invoke", "--event", "text"],
            ["invoke", "--event", "@/no/such/file"],
            ["invoke", "--timeout", "0"],
            ["invoke", "--timeout=901"],
            ["invoke", "--memory", "1"],
            ["invoke", "--env-file", "/no/such/file"],
            ["invoke", "--task", "/no/such/folder"],
            ["serve", "--event", "1"],
            ["serve", "--port", "65536"],
            ["frobnicate"],
            [],
        ):
            done = self.command(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertTrue(done.stderr.startswith("zerostrap: "), done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_option_or_argument_that_is_unknown_is_named(self):
        self.script()
        for words, want in (
            (["invoke", "--foo"], "unknown option --foo of invoke"),
            (["invoke", "--foo", "1"], "unknown option --foo of invoke"),
            (["serve", "--event=1"], "unknown option --event of serve"),
            (["serve", "-p", "1"], "unknown option -p of serve"),
            (["invoke", "extra"], "unexpected argument extra"),
            (["serve", "extra", "--port", "0"], "unexpected argument extra"),
            (["invoke", "--event"], "--event needs a value"),
        ):
            done = self.command(*words)
            said = f"zerostrap: {want}; zerostrap --help lists all\n"
            self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", said))

    def test_event_comes_from_a_file_relative_to_where_it_is_called(self):
        self.script()
        event = write(os.path.join(self.folder, "events", "big.json"), '"' + 200_000 * "x" + '"')
        done = self.command(
            "invoke", "--task", "task", "--event", "@events/big.json", cwd=self.folder
        )
        self.assertEqual(done.stdout, support.read(event))

    def test_event_and_variables_come_from_standard_input(self):
        self.script('handler() { printf %s "${A-}$1"; }\n')
        large = '"' + 3_000_000 * "x" + '"'
        for words, given, want in (
            (["--event", "@-"], '{"a":1}', '{"a":1}'),
            (["--event", "@/dev/stdin"], "[2]", "[2]"),
            (["--event=@/proc/self/fd/0"], "[3]", "[3]"),
            (["--env-file", "/dev/stdin"], "A=4\n", "4{}"),
            (["--env-file", "-"], "A=5\n", "5{}"),
            (["--event", "@-"], large, large),
        ):
            done = self.command("invoke", *words, input=given, seconds=60)
            self.assertEqual((done.returncode, done.stdout), (0, want), done.stderr)
        words = ["make", "-s", "invoke", f"TASK={self.task}", "EVENT=@-"]
        done = run(words, cwd=ROOT, input="[6]", seconds=300)
        self.assertEqual((done.returncode, done.stdout), (0, "[6]"), done.stderr)
        done = self.command("invoke", "--event", "@-", input="no JSON")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("the event is not JSON", done.stderr)

    def test_event_that_is_empty_is_an_empty_object(self):
        self.script()
        empty = self.file("empty", "")
        for event in ("", f"@{empty}", "@-"):
            done = self.command("invoke", "--event", event)
            self.assertEqual((done.returncode, done.stdout), (0, "{}"), done.stderr)

    def test_environment_has_the_file_the_memory_and_no_variable_of_make(self):
        self.script('handler() { echo "$A-$B-$AWS_LAMBDA_FUNCTION_MEMORY_SIZE-${TASK-none}"; }\n')
        path = write(os.path.join(self.folder, "env"), "# of\n\nA=1 2\nexport B='x'\n")
        want = "1 2-'x'-512-none"
        done = self.command("invoke", "--env-file", path, "--memory", "512")
        self.assertEqual(done.stdout, want)
        words = ["make", "-s", "invoke", f"TASK={self.task}", f"ENV_FILE={path}", "MEMORY=512"]
        done = run(words, cwd=ROOT, seconds=300)
        self.assertEqual((done.returncode, done.stdout), (0, want), done.stderr)
        write(path, "A=1\nnothing\n")
        done = self.command("invoke", "--env-file", path)
        self.assertEqual(done.returncode, 2)
        self.assertIn("line 2 is not NAME=value", done.stderr)

    def test_time_out_is_the_function_s_and_make_has_it_too(self):
        self.script("handler() { sleep 600; }\n")
        env = {"BOOTSTRAP_DEADLINE_MARGIN_MS": "0"}
        done = self.command("invoke", "--timeout", "0.3", env=env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Task timed out after 0.30 seconds", done.stdout)
        words = ["make", "-s", "invoke", f"TASK={self.task}", "TIMEOUT=0.5"]
        done = run(words, cwd=ROOT, seconds=300)
        self.assertIn("Function.TimedOut", done.stdout)
        # Make ends with 2 whatever a recipe's status was, and says that status.
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"Error 1\b")

    def test_syntax_that_sh_of_lambda_alone_takes_is_noted(self):
        here = os.path.basename(os.path.realpath("/bin/sh"))
        if here == "bash":
            self.skipTest("sh is bash here, as on Lambda")
        note = f"note: sh is {here} here and bash on Lambda: with #!/bin/bash as its first line"
        for interpreter in ("/bin/sh", "/bin/sh -e", "/usr/bin/env sh"):
            self.script(f"#!{interpreter}\nfunction handler () {{ echo 1; }}\n")
            done = self.command("invoke")
            self.assertEqual(json.loads(done.stdout)["errorType"], "Runtime.HandlerInitFailed")
            self.assertIn(note, done.stderr)
        for script in (
            "#!/bin/sh\nexit 3\n",
            "#!/bin/sh\nhandler() { echo syntax error >&2; exit 3; }\n",
            "#!/bin/bash\nhandler() { ( }\n",
        ):
            self.script(script)
            self.assertNotIn("note: sh is", self.command("invoke").stderr)

    def test_init_that_takes_too_long_is_said_to_be_the_init(self):
        self.script("sleep 600; handler() { :; }\n")
        done = self.command("invoke", "--timeout", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "Task timed out after 10.00 seconds: this was the init, so do less before the first "
            "event",
            json.loads(done.stdout)["errorMessage"],
        )

    def test_peak_memory_counts_children_that_have_ended_and_warns_beyond_the_size(self):
        # dd holds its block in memory, for as long as it takes to fill and write it.
        self.script("handler() { dd if=/dev/zero bs=200M count=1 2>/dev/null | tail -c1 >&2; }\n")
        done = self.command("invoke")
        used = int(done.stderr.split("Max Memory Used: ")[1].split()[0])
        self.assertGreaterEqual(used, 190, done.stderr)
        self.assertLess(used, 600)
        self.assertIn(f"warning: {used} MB were used and the memory size is 128 MB", done.stderr)
        done = self.command("invoke", "--memory", "1024")
        self.assertNotIn("warning: ", done.stderr)

    def test_response_that_is_not_json_is_noted(self):
        self.script("handler() { echo hello; }\n")
        done = self.command("invoke")
        self.assertEqual((done.returncode, done.stdout), (0, "hello"))
        self.assertIn("note: the response is not JSON", done.stderr)
        self.script()
        self.assertNotIn("note: ", self.command("invoke").stderr)

    def test_stream_is_shown_as_it_comes(self):
        go = os.path.join(self.folder, "go")
        self.script(
            f"handler() {{ echo one; until [ -e {go} ]; do sleep 0.02; done; echo two; }}\n"
        )
        child = subprocess.Popen(
            [command.COMMAND, "invoke"],
            cwd=self.task,
            env=environment(BOOTSTRAP_RESPONSE_MODE="streaming"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.stdout.close)
        self.assertEqual(child.stdout.readline(), b"one\n")
        write(go, "")
        self.assertEqual(child.stdout.read(), b"two\n")
        self.assertEqual(child.wait(30), 0)

    def test_newline_follows_a_response_on_a_terminal_only(self):
        self.script("handler() { printf '%s' '{}'; }\n")
        self.assertEqual(self.command("invoke").stdout, "{}")
        shown, terminal = pty.openpty()
        done = subprocess.run(
            [command.COMMAND, "invoke"],
            cwd=self.task,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
        os.close(terminal)
        said = os.read(shown, 100)
        os.close(shown)
        self.assertEqual((done.returncode, said), (0, b"{}\r\n"))

    def test_bootstrap_for_another_machine_is_one_sentence(self):
        self.script()
        path = os.path.join(ROOT, "dist", OTHER, "bootstrap")
        if not os.path.exists(path):
            self.skipTest(f"there is no bootstrap for {OTHER}: make ARCH={OTHER}")
        if os.path.exists("/proc/sys/fs/binfmt_misc/qemu-aarch64"):
            self.skipTest("this machine runs programs of the other one")
        done = self.command("invoke", "--bootstrap", path)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(f"is a bootstrap for {OTHER} and this machine is {HERE}", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_task_or_bootstrap_that_is_none_is_told_before_anything_is_started(self):
        self.script()
        self.file("text", "no program\n", 0o755)
        self.file("empty", "", 0o755)
        self.file("short", "\x7fELF", 0o755)
        self.file("plain", "#!/bin/sh\n")
        other = "; --bootstrap takes a program of this machine, or leave it out"
        form = f"is neither an ELF program nor a script with #!{other}"
        missing = f"cannot be read: No such file or directory (os error 2){other}"
        for words, want in (
            (["--task", "no"], "no is not a folder: --task takes the function's folder"),
            (["--task", "text"], "text is not a folder: --task takes the function's folder"),
            (["--bootstrap", "text"], f"text {form}"),
            (["--bootstrap", "empty"], f"empty {form}"),
            (["--bootstrap", "short"], f"short {form}"),
            (["--bootstrap", "."], f". is not a file{other}"),
            (["--bootstrap", "no"], f"no {missing}"),
            (["--bootstrap", "plain"], "plain is not executable: run chmod +x plain"),
        ):
            for command_word in ("invoke", "serve"):
                done = self.command(command_word, *words)
                said = f"zerostrap: {want}\n"
                self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", said))

    def test_function_that_is_its_own_bootstrap_needs_no_handler(self):
        done = self.command("invoke", "--bootstrap", self.echo(), "--event", '{"a":1}')
        self.assertEqual((done.returncode, done.stdout), (0, '{"a":1}'), done.stderr)

    def echo(self):
        """examples/echo.rs, a Rust function."""
        target = os.path.join(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
        words = ["cargo", "build", "--quiet", "--locked", "--example", "echo"]
        done = run([*words, "--target-dir", target], cwd=ROOT, seconds=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return os.path.join(target, "debug", "examples", "echo")

    def test_interrupt_prints_no_error_that_nobody_made(self):
        mark = os.path.join(self.folder, "mark")
        self.script(f"handler() {{ echo x > {mark}; sleep 600; }}\n")
        for words, status in (
            ([command.COMMAND, "invoke"], 130),
            (["make", "-s", "invoke", f"TASK={self.task}"], -signal.SIGINT),
        ):
            child = subprocess.Popen(
                words,
                cwd=self.task if status == 130 else ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            until(lambda: support.read(mark), 300, "the handler to run")
            os.unlink(mark)
            os.killpg(child.pid, signal.SIGINT)
            said, log = child.communicate(timeout=30)
            self.assertEqual((child.returncode, said), (status, ""))
            lines = [line for line in log.splitlines() if not line.startswith("START ")]
            self.assertEqual(lines, [])


@unittest.skipIf(shutil.which("dash") is None, "dash is not installed")
class Shell(unittest.TestCase):
    def test_command_is_posix(self):
        done = run(["dash", command.COMMAND, "--help"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)
        for name in ("invoke", "serve", "check", "zip", "layer"):
            self.assertRegex(done.stdout, rf"(?m)^  {name} ")

    def test_version_is_that_of_the_bootstrap(self):
        version = run([command.bootstrap(), "--version"]).stdout
        for option in ("--version", "-V"):
            done = run([command.COMMAND, option], seconds=600)
            said = version.replace("bootstrap ", "zerostrap ", 1)
            self.assertEqual((done.returncode, done.stdout), (0, said), done.stderr)

    def test_other_system_is_told_what_to_do(self):
        holder = self.enterContext(support.tempfile.TemporaryDirectory())
        write(os.path.join(holder, "uname"), "#!/bin/sh\necho Darwin\n", 0o755)
        env = environment(PATH=f"{holder}:{os.environ['PATH']}")
        done = run([command.COMMAND, "invoke"], env=env)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        for word in ("Darwin", "docker run", "WSL"):
            self.assertIn(word, done.stderr)
