"""`crucible-humaneval`: pass@k of a file of samples."""

from __future__ import annotations

import argparse
import sys

from ..errors import CrucibleError
from .human_eval import evaluate_functional_correctness


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="crucible-humaneval",
        description="Print pass@k of HumanEval samples, each run in a sandbox of the server at CRUCIBLE_URL.",
    )
    parser.add_argument("samples", help="file with a task_id and a completion in each line, as JSON")
    parser.add_argument("--problems", help="HumanEval.jsonl [default: that of the installed package human_eval]")
    parser.add_argument("--k", default="1,10,100", help="numbers of samples, with commas [default: %(default)s]")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds for each program [default: %(default)s]")
    parser.add_argument("--ignore-incomplete", action="store_true", help="accept problems without a sample")
    options = parser.parse_args()
    try:
        means = evaluate_functional_correctness(
            options.samples,
            [int(k) for k in options.k.split(",")],
            timeout=options.timeout,
            problem_file=options.problems,
            ignore_incomplete=options.ignore_incomplete,
        )
    except (CrucibleError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, mean in means.items():
        print(f"{name}\t{mean:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
