#!/usr/bin/env python3
"""Runs the packaging tests: python3 tests/packaging/run.py [part of a test's name ...]

One line a test, one `skipped: ...` line for each that could not run, a closing line that counts.
"""

import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def say(self, test, how):
        print(f"{how:7} {test.id()}  {time.monotonic() - self.began:.1f} s", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(test, "ok")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say(test, "FAILED")

    def addError(self, test, error):
        super().addError(test, error)
        self.began = getattr(self, "began", time.monotonic())
        self.say(test, "FAILED")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skipped: {test.id()}: {reason}", flush=True)


def chosen(suite, words):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from chosen(test, words)
        elif not words or any(word in test.id() for word in words):
            yield test


def main(folder=HERE, name="packaging"):
    sys.dont_write_bytecode = True
    suite = unittest.TestSuite(chosen(unittest.defaultTestLoader.discover(folder), sys.argv[1:]))
    result = Result()
    suite.run(result)
    failed = result.failures + result.errors
    for test, trace in failed:
        print(f"\n{test.id()}\n{trace}")
    passed = result.testsRun - len(failed) - len(result.skipped)
    print(f"{name}: {passed} passed, {len(failed)} failed, {len(result.skipped)} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
