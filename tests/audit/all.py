#!/usr/bin/env python3
"""Runs the tests of the SBOMs and the VEX document: python3 tests/audit/all.py

As the packaging tests do: one line a test, one `skipped: ...` line for each that could not run, a
closing line that counts.
"""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "packaging"))

from run import Result  # noqa: E402 - found by the line above


def main():
    result = Result()
    unittest.defaultTestLoader.discover(HERE).run(result)
    failed = result.failures + result.errors
    for test, trace in failed:
        print(f"\n{test.id()}\n{trace}")
    passed = result.testsRun - len(failed) - len(result.skipped)
    print(f"audit: {passed} passed, {len(failed)} failed, {len(result.skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
