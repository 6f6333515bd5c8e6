"""A reward function for reinforcement learning: a batch of completions in, scores out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

import anyio

from ..aio import AsyncClient
from ..errors import CrucibleError, WaitTimeoutError
from .judge import DRIVER, Graded, NoVerdictError

DEFAULT_CONCURRENCY: Final = 16
DEFAULT_TIMEOUT: Final = 10.0
DEFAULT_QUEUE_TIMEOUT: Final = 300.0
WAIT_GRACE: Final = 30.0
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)

Outcome = Literal["passed", "failed", "timed_out", "no_code", "no_verdict"]


def extract_code(completion: str) -> str | None:
    """The last fenced block of Python, or all of a completion without fences; None when a fence is not closed."""
    blocks = _FENCE.findall(completion)
    if blocks:
        return str(blocks[-1])
    return None if "```" in completion else completion


@dataclass(frozen=True, slots=True)
class Task:
    """A completion, and the tests that its code is to pass."""

    completion: str
    tests: str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Reward:
    """A score, and where it comes from."""

    score: float | None
    """None when there is no verdict: a failure of the platform is not one of the model."""
    outcome: Outcome
    detail: str
    wall_ms: int | None = None
    queue_wait_ms: int | None = None


class CodeReward:
    """Scores completions: the fraction of their tests that pass, or with `partial=False` 1 for all of them and else 0.

    At most `concurrency` programs of a batch are at the server at one moment. A program has `timeout_seconds` from its
    start in the sandbox: the time that it waits for a place does not count, whatever the load. One that gets no place
    within `queue_timeout_seconds` has no verdict.

    An instance is a reward function as TRL's trainers call it, with the tests in the column `tests` of the data set;
    they leave a score of None out of the mean.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        timeout_seconds: float = DEFAULT_TIMEOUT,
        queue_timeout_seconds: float = DEFAULT_QUEUE_TIMEOUT,
        memory_bytes: int | None = None,
        environment: str | None = None,
        partial: bool = True,
        extract: Callable[[str], str | None] = extract_code,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {concurrency}")
        self._url, self._key = url, key
        self._concurrency = concurrency
        self._timeout = timeout_seconds
        self._queue_timeout = queue_timeout_seconds
        self._memory_bytes = memory_bytes
        self._environment = environment
        self._partial = partial
        self._extract = extract
        self.__name__ = "crucible_code_reward"  # trainers log a reward under this name

    async def score(self, tasks: Sequence[Task]) -> list[Reward]:
        """The reward of each task, in their order. Raises nothing for a failure of the platform: see `Reward.score`."""
        rewards: list[Reward | None] = [None] * len(tasks)
        limiter = anyio.CapacityLimiter(self._concurrency)
        async with AsyncClient(self._url, self._key) as client:

            async def one(at: int, task: Task) -> None:
                async with limiter:
                    rewards[at] = await self._reward(client, task)

            async with anyio.create_task_group() as group:
                for at, task in enumerate(tasks):
                    group.start_soon(one, at, task)
        return [reward for reward in rewards if reward is not None]

    def __call__(
        self, prompts: Any = None, completions: Sequence[Any] = (), *, tests: Sequence[Any], **_columns: Any
    ) -> list[float | None]:
        """The scores of a batch; completions are texts, or lists of messages."""
        del prompts
        tasks = [Task(_text(one), test) for one, test in zip(completions, tests, strict=True)]
        # In a thread of its own: the trainer may be in an event loop.
        with ThreadPoolExecutor(max_workers=1) as executor:
            rewards = executor.submit(lambda: asyncio.run(self.score(tasks))).result()
        return [reward.score for reward in rewards]

    async def _reward(self, client: AsyncClient, task: Task) -> Reward:
        source = self._extract(task.completion)
        if source is None or not source.strip():
            return Reward(0.0, "no_code", "the completion has no code")
        program = Graded(source, [task.tests] if isinstance(task.tests, str) else list(task.tests))
        try:
            evaluation = await client.evaluate(
                DRIVER,
                stdin=program.stdin,
                timeout_seconds=self._timeout,
                queue_timeout_seconds=self._queue_timeout,
                memory_bytes=self._memory_bytes,
                environment=self._environment,
                wait=self._queue_timeout + self._timeout + WAIT_GRACE,
            )
            verdict = program.verdict(evaluation)
        except (NoVerdictError, WaitTimeoutError, CrucibleError) as error:
            return Reward(None, "no_verdict", str(error))
        outcome: Outcome = "passed" if verdict.passed else "timed_out" if verdict.timed_out else "failed"
        score = verdict.fraction if self._partial else float(verdict.passed)
        usage, timing = evaluation.raw.get("usage") or {}, evaluation.raw.get("timing") or {}
        return Reward(score, outcome, verdict.text, usage.get("wall_ms"), timing.get("queue_wait_ms"))


def _text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    return "".join(str(message.get("content", "")) for message in completion)
