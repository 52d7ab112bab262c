#!/usr/bin/env python3
"""Runs the tests of the command and of the local Runtime API:
python3 tests/local/run.py [part of a test's name ...]"""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "packaging"))
import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run.main(HERE, "local"))
