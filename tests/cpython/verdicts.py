"""Runs one module of CPython's own tests and reports the verdict of every test, as one line of JSON.

The ladder puts four assignments before this file: MODULE, the module's name; MARK, a random marker;
DEADLINE, the seconds one test may take; and LEAVE_OUT, the tests that an earlier run has reported. The
report is the lines that begin with MARK, so that output of the tests cannot be mistaken for it. A test
that has started and has no verdict is the one that hung.
"""

import faulthandler
import importlib
import json
import platform
import unittest


def report(kind, **rest):
    # A test may have printed an incomplete line.
    print("\n" + MARK + json.dumps({"kind": kind, **rest}), flush=True)


class Verdicts(unittest.TestResult):
    """Reports one verdict for each test, with the end of its message unless it passed."""

    def __init__(self):
        super().__init__()
        self.reported = set()

    def record(self, test, verdict, message=""):
        # unittest calls this for each failed subtest; the first one decides.
        if test.id() not in self.reported:
            self.reported.add(test.id())
            report("verdict", test=test.id(), verdict=verdict, message=message[-300:])

    def record_error(self, test, verdict, error):
        self.record(test, verdict, f"{error[0].__name__}: {error[1]}")

    def startTest(self, test):
        report("started", test=test.id())
        # Ends the process, with a traceback of what it is waiting for on standard error.
        faulthandler.dump_traceback_later(DEADLINE, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()

    def addSuccess(self, test):
        self.record(test, "passed")

    def addFailure(self, test, error):
        self.record_error(test, "failed", error)

    def addError(self, test, error):
        self.record_error(test, "error", error)

    def addSkip(self, test, reason):
        # Of a subtest or a whole class, too.
        self.record(getattr(test, "test_case", test), "skipped", reason)

    def addExpectedFailure(self, test, error):
        self.record(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        self.record(test, "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.record_error(test, "failed", error)


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
    report("end", python=platform.python_version())


if __name__ == "__main__":
    main()
