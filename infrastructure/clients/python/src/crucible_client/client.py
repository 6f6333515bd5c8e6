"""The blocking client."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from . import _calls, _flows, errors
from ._http import DEFAULT_PATIENCE, Attempts, Call, Settings
from ._options import ExecOptions, SandboxOptions, SubmissionOptions, is_short
from .archive import pack, unpack
from .models import Batch, Chunk, Evaluation, Execution, ExecutionSummary, SandboxInfo

T = TypeVar("T")


class Client:
    """A connection to a Crucible server.

    `url` and `key` default to `CRUCIBLE_URL` and `CRUCIBLE_API_KEY`. `patience` is how many seconds a call is
    repeated while the server is full, out of reach or restarting, if that is safe. Threads may share a client.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, patience: float = DEFAULT_PATIENCE) -> None:
        self.settings = Settings.of(url, key, patience)
        self._http = httpx.Client(**self.settings.options())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Sends one call, and repeats it where that is safe."""
        attempts = Attempts(call, self.settings.patience)
        while True:
            try:
                response = self._http.request(**call.arguments())
            except httpx.TransportError as error:
                time.sleep(attempts.after_error(error))
                continue
            delay = attempts.after_response(response)
            if delay is None:
                return call.parse(response)
            time.sleep(delay)

    def run(self, flow: _flows.Flow[T]) -> T:
        """Sends the calls of a flow, each when the one before is answered."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(flow)
                    continue
                try:
                    answer = self.send(step)
                except errors.ApiError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as ended:
            value: T = ended.value
            return value

    def status(self) -> dict[str, Any]:
        """What the server runs on."""
        status: dict[str, Any] = self.send(_calls.get_json("/status"))
        return status

    def queue(self) -> dict[str, Any]:
        """How many evaluations wait, and how many may."""
        queue: dict[str, Any] = self.send(_calls.get_json("/queue"))
        return queue

    # --- evaluations

    def submit(self, code: str, **options: Unpack[SubmissionOptions]) -> Evaluation:
        """Submits a program, and does not wait for it."""
        return self.send(_calls.submit(_calls.submission(code, **options), 0))

    def evaluate(self, code: str, *, wait: float | None = None, **options: Unpack[SubmissionOptions]) -> Evaluation:
        """Runs a program to its end.

        Raises:
            WaitTimeoutError: when it has not ended after `wait` seconds; it goes on, and the server has it.
        """
        return self.run(_flows.evaluate(code, wait, options))

    def evaluation(self, id: str) -> Evaluation:  # noqa: A002
        """An evaluation, as it is now."""
        return self.send(_calls.get_evaluation(id))

    def cancel(self, id: str) -> Evaluation:  # noqa: A002
        """Ends an evaluation."""
        return self.send(_calls.cancel_evaluation(id))

    def submit_batch(self, submissions: Sequence[dict[str, Any]]) -> Batch:
        """Submits up to 1,000 programs, each made by `submission`, all or none."""
        return self.send(_calls.submit_batch(submissions))

    def batch(self, id: str) -> Batch:  # noqa: A002
        """A batch, as it is now."""
        return self.send(_calls.get_batch(id))

    def cancel_batch(self, id: str) -> Batch:  # noqa: A002
        """Cancels what has not ended."""
        return self.send(_calls.cancel_batch(id))

    def wait_batch(self, id: str, *, wait: float | None = None) -> Batch:  # noqa: A002
        """The batch when all of it has ended.

        Raises:
            WaitTimeoutError: when it has not ended after `wait` seconds.
        """
        return self.run(_flows.wait_batch(id, wait))

    def batch_results(self, id: str) -> Iterator[Evaluation]:  # noqa: A002
        """The evaluations of a batch, in the order in which they were submitted."""
        cursor: str | None = None
        while True:
            items, cursor = self.send(_calls.batch_results(id, cursor))
            yield from items
            if cursor is None:
                return

    # --- sandboxes that stay

    def create_sandbox(self, **options: Unpack[SandboxOptions]) -> Sandbox:
        """Opens a sandbox. It is removed at the end of a `with` block, or by `remove`."""
        return Sandbox(self, self.send(_calls.create_sandbox(_calls.present(**options))))

    def sandbox(self, id: str) -> Sandbox:  # noqa: A002
        """A sandbox of this key."""
        return Sandbox(self, self.send(_calls.get_sandbox(id)))

    def sandboxes(self, *, label: str | None = None, status: str | None = None) -> Iterator[SandboxInfo]:
        """The sandboxes of this key; `label` is KEY=VALUE."""
        cursor: str | None = None
        while True:
            items, cursor = self.send(_calls.list_sandboxes(label, status, cursor))
            yield from items
            if cursor is None:
                return


class Sandbox:
    """A sandbox that stays: many executions, and files."""

    def __init__(self, client: Client, info: SandboxInfo) -> None:
        self.client = client
        self.info = info

    @property
    def id(self) -> str:
        """Its id."""
        return self.info.id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> SandboxInfo:
        """Removes it; again: the same answer."""
        self.info = self.client.send(_calls.delete_sandbox(self.id))
        return self.info

    def renew(self, lifetime_seconds: int | None = None) -> SandboxInfo:
        """Gives it more time."""
        self.info = self.client.send(_calls.renew_sandbox(self.id, lifetime_seconds))
        return self.info

    def start(
        self,
        argv: Sequence[str],
        *,
        exec_id: str | None = None,
        stream_stdin: bool = False,
        **options: Unpack[ExecOptions],
    ) -> Execution:
        """Starts a command and does not wait for it. With `stream_stdin`, `write_stdin` gives its standard input."""
        body, data = _calls.execution(argv, detach=True, stream_stdin=stream_stdin, **options)
        return self.client.run(_flows.start(self.id, exec_id or uuid.uuid4().hex, body, data))

    def exec(self, argv: Sequence[str], *, exec_id: str | None = None, **options: Unpack[ExecOptions]) -> Execution:
        """Runs a command to its end, and returns that. Whatever is lost on the way, it runs once."""
        name = exec_id or uuid.uuid4().hex
        body, data = _calls.execution(argv, detach=not is_short(options), **options)
        return self.client.run(_flows.run(self.id, name, body, data))

    def write_stdin(self, exec_id: str, data: bytes, *, offset: int = 0, eof: bool = False) -> None:
        """Writes to the standard input of a command. `offset` is how many bytes were written before."""
        self.client.send(_calls.put_stdin(self.id, exec_id, data, offset, eof))

    def execution(self, exec_id: str, *, wait_seconds: int = 0) -> Execution:
        """A command, when it has ended or after `wait_seconds`."""
        return self.client.send(_calls.get_exec(self.id, exec_id, wait_seconds))

    def executions(self) -> list[ExecutionSummary]:
        """The commands that were started in it, as they are now, without their output."""
        return self.client.send(_calls.list_execs(self.id))

    def output(self, exec_id: str, stream: str = "stdout", *, offset: int = 0, wait_seconds: int = 0) -> Chunk:
        """The output of a command from an offset on."""
        return self.client.send(_calls.exec_output(self.id, exec_id, stream, offset, wait_seconds))

    def signal(self, exec_id: str, signal: str | int, *, tree: bool = False) -> None:
        """Sends a signal to a command."""
        self.client.send(_calls.signal_exec(self.id, exec_id, signal, tree))

    def kill(self, exec_id: str) -> Execution:
        """Ends a command and all processes that it has started."""
        return self.client.send(_calls.kill_exec(self.id, exec_id))

    def read_file(self, path: str, *, max_bytes: int | None = None, user: str | None = None) -> bytes:
        """The bytes of a file."""
        return self.client.send(_calls.read_file(self.id, path, max_bytes, user))

    def write_file(self, path: str, data: str | bytes, *, user: str | None = None) -> None:
        """Writes a file, with the directories above it."""
        raw = data.encode() if isinstance(data, str) else data
        self.client.send(_calls.write_file(self.id, path, raw, user))

    def read_tar(self, path: str, *, user: str | None = None) -> bytes:
        """What is in a directory, as tar. `archive` has functions for those."""
        return self.client.send(_calls.read_tar(self.id, path, user))

    def write_tar(self, path: str, archive: bytes, *, user: str | None = None) -> None:
        """Writes what is in a tar into a directory, which is created with those above it."""
        self.client.send(_calls.write_tar(self.id, path, archive, user))

    def diff(self) -> bytes:
        """What has changed since its start, as tar; what was removed is a file with the prefix `.wh.`."""
        return self.client.send(_calls.read_diff(self.id))

    def upload(self, directory: str | PathLike[str], path: str, *, user: str | None = None) -> None:
        """Copies what is in a directory of this machine into one of the sandbox."""
        self.write_tar(path, pack(directory), user=user)

    def download(self, path: str, directory: str | PathLike[str], *, user: str | None = None) -> None:
        """Copies what is in a directory of the sandbox into one of this machine, which is new or empty."""
        unpack(self.read_tar(path, user=user), directory)
