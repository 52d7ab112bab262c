"""The README's line of the AWS CLI against `make serve`."""

import os
import re
import tempfile
import unittest

import support
from support import DEPLOY, ROOT, read, run, write


class Serve(unittest.TestCase):
    def line(self, port):
        """The invoke line of deploy/README.md, for the port of this run."""
        text = read(os.path.join(DEPLOY, "README.md"))
        (block,) = re.findall(r"(?ms)^```sh\n(aws lambda invoke --endpoint-url.*?)^```$", text)
        return block.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{port}")

    def test_aws_cli_prints_the_response_of_a_function_under_make_serve(self):
        with tempfile.TemporaryDirectory() as folder:
            programs = os.path.join(folder, "programs")
            call = f'#!/bin/sh\nexec {support.aws_cli()} "$@"\n'
            write(os.path.join(programs, "aws"), call, 0o755)
            task = os.path.join(folder, "task")
            script = 'handler() { printf \'{"hello":%s}\' "$1"; echo logged >&2; }\n'
            write(os.path.join(task, "function.sh"), script)
            port = support.free_port()
            serve = ["make", "-s", "serve", f"TASK={task}", "HANDLER=function.handler"]
            env = support.environment(PATH=f"{programs}:{os.environ['PATH']}")
            with support.Server([*serve, f"PORT={port}"], port, cwd=ROOT, seconds=300):
                for _ in range(2):
                    done = run(["bash", "-euc", self.line(port)], cwd=folder, env=env)
                    print("  aws lambda invoke: " + " ".join(done.stdout.split()))
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    self.assertTrue(done.stdout.endswith('{"hello":{"name":"world"}}'), done.stdout)
                    self.assertIn('"StatusCode": 200', done.stdout)
