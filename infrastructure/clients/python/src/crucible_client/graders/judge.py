"""One graded program: what is submitted, and what its end means."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._calls import submission
from ..errors import CrucibleError
from ..models import TIME_OUTCOMES, Evaluation

# Runs in the sandbox. Standard input has the source and the tests, each test is executed in the namespace of the
# source, and the last line is a random marker with the results: `sys.exit(0)` in a program is no pass. What the
# program prints is dropped, as HumanEval's own grader does it.
DRIVER = """\
import io, json, os, sys

class Sink(io.StringIO):
    def write(self, text):
        return len(text)

    def readable(self):
        return False

    def read(self, *_):
        raise OSError("no standard input")

    readline = readlines = read

def main():
    task = json.load(sys.stdin)
    real, results = sys.stdout, []
    sys.stdin = sys.stdout = sys.stderr = Sink()
    space, failure = {}, None
    try:
        exec(task["source"], space)
    except BaseException as error:
        failure = f"{error}"
    for test in task["tests"]:
        if failure is not None:
            results.append(failure)
            continue
        try:
            exec(test, space)
            results.append(None)
        except BaseException as error:
            results.append(f"{error}")
    line = task["marker"] + json.dumps([result and result[:2000] for result in results])
    real.write("\\n" + line + "\\n")
    real.flush()
    os._exit(0) # a thread of the program may still run

main()
"""


class NoVerdictError(CrucibleError):
    """The platform failed, or did not get to the program: that is no verdict on it."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        text = f"evaluation {evaluation.id} ended as {evaluation.outcome}"
        super().__init__(f"{text}: {evaluation.error}" if evaluation.error else text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of each test."""

    results: list[str | None]
    """None for a test that passed, else why it did not."""
    timed_out: bool
    ended_as: str | None
    """How the program ended when it did not reach the end of its tests."""

    @property
    def passed(self) -> bool:
        """Whether all of them passed."""
        return bool(self.results) and all(result is None for result in self.results)

    @property
    def fraction(self) -> float:
        """How many of them passed, of 1."""
        return sum(result is None for result in self.results) / len(self.results) if self.results else 0.0

    @property
    def text(self) -> str:
        """In HumanEval's words: `passed`, `timed out` or `failed: ...`."""
        if self.passed:
            return "passed"
        if self.timed_out:
            return "timed out"
        if self.ended_as is not None:
            return f"failed: {self.ended_as}"
        return f"failed: {next((result for result in self.results if result is not None), 'no test')}"


class Graded:
    """A program and its tests, to be submitted once."""

    def __init__(self, source: str, tests: Sequence[str]) -> None:
        self._marker = secrets.token_hex(16)
        self._count = len(tests)
        self._stdin = json.dumps({"marker": self._marker, "source": source, "tests": list(tests)})

    def submission(self, **options: Any) -> dict[str, Any]:
        """For `submit_batch`."""
        return submission(DRIVER, stdin=self._stdin, **options)

    @property
    def stdin(self) -> str:
        """For `evaluate`, with `DRIVER` as the code."""
        return self._stdin

    def verdict(self, evaluation: Evaluation) -> Verdict:
        """What the end of the evaluation means.

        Raises:
            NoVerdictError: when it means nothing for the program.
        """
        if not evaluation.judges_program:
            raise NoVerdictError(evaluation)
        results = self._results(evaluation)
        if results is not None:
            return Verdict(results, timed_out=False, ended_as=None)
        failed: list[str | None] = ["not reached"] * self._count
        if evaluation.outcome in TIME_OUTCOMES:
            return Verdict(failed, timed_out=True, ended_as=None)
        ended_as = str(evaluation.outcome)
        if evaluation.outcome == "exited":
            ended_as = f"the program exited with {evaluation.exit_code} before its tests ended"
        elif evaluation.outcome == "signaled":
            ended_as = f"the program died of {evaluation.signal}"
        return Verdict(failed, timed_out=False, ended_as=ended_as)

    def _results(self, evaluation: Evaluation) -> list[str | None] | None:
        if evaluation.outcome != "exited" or evaluation.exit_code != 0:
            return None
        last = evaluation.stdout.text.rstrip("\n").rpartition("\n")[2]
        if not last.startswith(self._marker):
            return None
        try:
            results = json.loads(last[len(self._marker) :])
        except ValueError:
            return None
        if not isinstance(results, list) or len(results) != self._count:
            return None
        return [result if result is None else str(result) for result in results]
