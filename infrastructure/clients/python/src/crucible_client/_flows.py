"""What takes several calls, written once: a flow yields each call, or seconds to sleep, and is sent what comes of it.

Both clients run flows with a loop of their own, and are otherwise one call for each method.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from . import _calls, errors
from ._http import Call
from ._options import SubmissionOptions
from .models import Batch, Evaluation, Execution

T = TypeVar("T")
Flow: TypeAlias = Generator[Call[Any] | float, Any, T]

POLL_INTERVAL = 0.25
MAX_POLL_INTERVAL = 1.0


def evaluate(code: str, wait: float | None, options: SubmissionOptions) -> Flow[Evaluation]:
    """Submits a program and waits for its end."""
    deadline = None if wait is None else time.monotonic() + wait
    first = _calls.MAX_PREFER_SECONDS if wait is None else int(wait)
    evaluation: Evaluation = yield _calls.submit(_calls.submission(code, **options), first)
    interval = POLL_INTERVAL
    while not evaluation.ended:
        if deadline is not None and time.monotonic() >= deadline:
            raise errors.WaitTimeoutError(f"evaluation {evaluation.id} is {evaluation.status} after {wait} s")
        yield interval
        interval = min(interval * 1.5, MAX_POLL_INTERVAL)
        evaluation = yield _calls.get_evaluation(evaluation.id)
    return evaluation


def wait_batch(id: str, wait: float | None) -> Flow[Batch]:  # noqa: A002
    """Waits for the end of all of a batch."""
    deadline = None if wait is None else time.monotonic() + wait
    interval = POLL_INTERVAL
    while True:
        batch: Batch = yield _calls.get_batch(id)
        if batch.ended:
            return batch
        if deadline is not None and time.monotonic() >= deadline:
            raise errors.WaitTimeoutError(f"batch {id} has not ended after {wait} s: {batch.counts}")
        yield interval
        interval = min(interval * 1.5, MAX_POLL_INTERVAL)


def start(sandbox: str, exec_id: str, body: dict[str, Any], data: bytes | None) -> Flow[Execution]:
    """Starts a command, and sends the standard input that does not fit into its request."""
    execution: Execution = yield _calls.put_exec(sandbox, exec_id, body)
    if data is not None and not execution.ended:
        try:
            yield _calls.put_stdin(sandbox, exec_id, data, 0, True)
        except errors.ApiError as error:
            if error.status != 409:  # the command ended without reading all of it
                raise
    return execution


def run(sandbox: str, exec_id: str, body: dict[str, Any], data: bytes | None) -> Flow[Execution]:
    """Runs a command to its end."""
    execution = yield from start(sandbox, exec_id, body, data)
    while not execution.ended:
        execution = yield _calls.get_exec(sandbox, exec_id, _calls.LONG_POLL_SECONDS)
    return execution
