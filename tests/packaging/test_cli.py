"""The deploy page's line of the AWS CLI against `make serve`."""

import os
import re
import tempfile
import unittest

import support
from support import DOCS, ROOT, read, run, write


PORT = 9000


class Serve(unittest.TestCase):
    def test_aws_cli_prints_the_response_of_a_function_under_make_serve(self):
        text = read(os.path.join(DOCS, "deploy.md"))
        (line,) = re.findall(r"(?ms)^```sh\n(aws lambda invoke --endpoint-url.*?)^```$", text)
        # The port cannot be chosen; another run on this machine may have it for a while.
        support.until(lambda: not support.listens(PORT), 120, f"port {PORT} to be free")
        with tempfile.TemporaryDirectory() as folder:
            programs = os.path.join(folder, "programs")
            call = f'#!/bin/sh\nexec {support.aws_cli()} "$@"\n'
            write(os.path.join(programs, "aws"), call, 0o755)
            task = os.path.join(folder, "task")
            script = 'handler() { printf \'{"hello":%s}\' "$1"; echo logged >&2; }\n'
            write(os.path.join(task, "function.sh"), script)
            serve = ["make", "-s", "serve", f"TASK={task}", "HANDLER=function.handler"]
            env = support.environment(PATH=f"{programs}:{os.environ['PATH']}")
            with support.Server(serve, PORT, cwd=ROOT, seconds=300, env=support.environment()):
                for _ in range(2):
                    done = run(["bash", "-euc", line], cwd=folder, env=env)
                    print("  aws lambda invoke: " + " ".join(done.stdout.split()))
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    self.assertTrue(done.stdout.endswith('{"hello":{"name":"world"}}'), done.stdout)
                    self.assertIn('"StatusCode": 200', done.stdout)
