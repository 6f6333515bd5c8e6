"""Runs one module of CPython's own tests and tells the verdict of every test, one line of JSON each.

The harness puts four assignments before this file: MODULE, the module's name; MARK, a word that it
has just drawn; DEADLINE, the seconds one test may take; and LEAVE_OUT, the tests that an earlier run has
told of. What we say are the lines that begin with MARK: whatever the tests print themselves, they
cannot be mistaken for them. A test that has begun and has no verdict is the one that hung.
"""

import faulthandler
import importlib
import json
import platform
import unittest


def tell(kind, **rest):
    # The tests may have left something on the line.
    print("\n" + MARK + json.dumps({"kind": kind, **rest}), flush=True)


class Verdicts(unittest.TestResult):
    """Tells one word for each test, and for a test that did not pass what it said last."""

    def __init__(self):
        super().__init__()
        self.told = set()

    def tell(self, test, verdict, said=""):
        # A test whose subtests fail is told of each of them; the first one decides.
        if test.id() not in self.told:
            self.told.add(test.id())
            tell("verdict", test=test.id(), verdict=verdict, said=said[-300:])

    def tell_error(self, test, verdict, error):
        self.tell(test, verdict, f"{error[0].__name__}: {error[1]}")

    def startTest(self, test):
        tell("begun", test=test.id())
        # Ends the process, with a traceback of what it is waiting for on standard error.
        faulthandler.dump_traceback_later(DEADLINE, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()

    def addSuccess(self, test):
        self.tell(test, "passed")

    def addFailure(self, test, error):
        self.tell_error(test, "failed", error)

    def addError(self, test, error):
        self.tell_error(test, "error", error)

    def addSkip(self, test, reason):
        # Of a subtest or a whole class, too.
        self.tell(getattr(test, "test_case", test), "skipped", reason)

    def addExpectedFailure(self, test, error):
        self.tell(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        self.tell(test, "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.tell_error(test, "failed", error)


def tests_in(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from tests_in(part)
        else:
            yield part


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(MODULE))
    wanted = [test for test in tests_in(suite) if test.id() not in LEAVE_OUT]
    # A suite of its own, and not a loop, because it sets classes and modules up and down.
    unittest.TestSuite(wanted).run(Verdicts())
    tell("end", python=platform.python_version())


if __name__ == "__main__":
    main()
