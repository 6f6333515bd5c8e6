"""Every operation as a call: built here once, sent by the blocking and by the asynchronous client."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx

from ._http import RESPONSE_TIMEOUT, Call
from .models import Batch, Chunk, Evaluation, Execution, ExecutionSummary, Json, Keep, SandboxInfo

Content = str | bytes

MAX_INLINE_STDIN_BYTES: Final = 256 << 10
"""Standard input up to this size goes with the request of the execution; more is streamed beside it."""
MAX_PREFER_SECONDS: Final = 300
LONG_POLL_SECONDS: Final = 20
CREATE_TIMEOUT: Final = 120.0
FILE_TIMEOUT: Final = 300.0


def content(value: Content) -> Any:
    """Text as text, bytes as base64."""
    return value if isinstance(value, str) else {"base64": base64.b64encode(value).decode()}


def present(**members: Any) -> Json:
    """The members that were given."""
    return {name: value for name, value in members.items() if value is not None}


def new_key() -> dict[str, str]:
    """A header that makes the repetition of a POST safe."""
    return {"idempotency-key": f'"{uuid.uuid4()}"'}


def submission(
    code: str,
    *,
    stdin: Content | None = None,
    files: Mapping[str, Content] | None = None,
    timeout_seconds: float | None = None,
    memory_bytes: int | None = None,
    labels: Mapping[str, str] | None = None,
    environment: str | None = None,
    priority: str | None = None,
    queue_timeout_seconds: float | None = None,
) -> Json:
    """The body of `POST /eval`, or one of `POST /batches`."""
    return present(
        code=code,
        stdin=None if stdin is None else content(stdin),
        files={path: content(value) for path, value in files.items()} if files else None,
        timeout_seconds=timeout_seconds,
        memory_bytes=memory_bytes,
        labels=dict(labels) if labels else None,
        environment=environment,
        priority=priority,
        queue_timeout_seconds=queue_timeout_seconds,
    )


def _evaluation(response: httpx.Response) -> Evaluation:
    return Evaluation.parse(response.json())


def _batch(response: httpx.Response) -> Batch:
    return Batch.parse(response.json())


def _sandbox(response: httpx.Response) -> SandboxInfo:
    return SandboxInfo.parse(response.json())


def _execution(response: httpx.Response) -> Execution:
    return Execution.parse(response.json())


def _nothing(_response: httpx.Response) -> None:
    return None


def _json(response: httpx.Response) -> Any:
    return response.json()


def get_json(path: str) -> Call[Any]:
    """A document of the platform, such as `/status`."""
    return Call("GET", path, _json, repeatable=True)


def submit(body: Json, wait_seconds: int) -> Call[Evaluation]:
    """Submits a program; with `wait_seconds`, the response comes when it has ended, or after them."""
    wait = min(max(wait_seconds, 0), MAX_PREFER_SECONDS)
    headers = new_key() | ({"prefer": f"wait={wait}"} if wait else {})
    timeout = RESPONSE_TIMEOUT + wait
    return Call("POST", "/eval", _evaluation, json=body, headers=headers, response_timeout=timeout, repeatable=True)


def get_evaluation(id: str) -> Call[Evaluation]:  # noqa: A002
    """One evaluation, as it is now."""
    return Call("GET", f"/eval/{quote(id, safe='')}", _evaluation, repeatable=True)


def cancel_evaluation(id: str) -> Call[Evaluation]:  # noqa: A002
    """Ends an evaluation."""
    return Call("DELETE", f"/eval/{quote(id, safe='')}", _evaluation)


def submit_batch(submissions: Sequence[Json]) -> Call[Batch]:
    """Submits up to 1,000 programs, all or none."""
    body = {"evaluations": list(submissions)}
    return Call("POST", "/batches", _batch, json=body, headers=new_key(), repeatable=True)


def get_batch(id: str) -> Call[Batch]:  # noqa: A002
    """A batch, as it is now."""
    return Call("GET", f"/batches/{quote(id, safe='')}", _batch, repeatable=True)


def cancel_batch(id: str) -> Call[Batch]:  # noqa: A002
    """Cancels what has not ended."""
    return Call("DELETE", f"/batches/{quote(id, safe='')}", _batch, repeatable=True)


def batch_results(id: str, cursor: str | None) -> Call[tuple[list[Evaluation], str | None]]:  # noqa: A002
    """A page of a batch's evaluations, and the cursor of the next."""

    def parse(response: httpx.Response) -> tuple[list[Evaluation], str | None]:
        page = response.json()
        return [Evaluation.parse(item) for item in page["items"]], page["next_cursor"]

    params = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
    return Call("GET", f"/batches/{quote(id, safe='')}/results", parse, params=params, repeatable=True)


def create_sandbox(body: Json) -> Call[SandboxInfo]:
    """Opens a sandbox."""
    return Call(
        "POST", "/sandboxes", _sandbox, json=body, headers=new_key(), response_timeout=CREATE_TIMEOUT, repeatable=True
    )


def list_sandboxes(
    label: str | None, status: str | None, cursor: str | None
) -> Call[tuple[list[SandboxInfo], str | None]]:
    """A page of this key's sandboxes, and the cursor of the next."""

    def parse(response: httpx.Response) -> tuple[list[SandboxInfo], str | None]:
        page = response.json()
        return [SandboxInfo.parse(item) for item in page["items"]], page.get("next_cursor")

    return Call("GET", "/sandboxes", parse, params=present(label=label, status=status, cursor=cursor), repeatable=True)


def _at(id: str, *rest: str) -> str:  # noqa: A002
    return "/".join(["/sandboxes", *(quote(part, safe="") for part in (id, *rest))])


def get_sandbox(id: str) -> Call[SandboxInfo]:  # noqa: A002
    """A sandbox, as it is now."""
    return Call("GET", _at(id), _sandbox, repeatable=True)


def delete_sandbox(id: str) -> Call[SandboxInfo]:  # noqa: A002
    """Removes a sandbox; again: the same answer."""
    return Call("DELETE", _at(id), _sandbox, repeatable=True)


def renew_sandbox(id: str, lifetime_seconds: int | None) -> Call[SandboxInfo]:  # noqa: A002
    """Gives a sandbox more time."""
    return Call("POST", _at(id, "renew"), _sandbox, json=present(lifetime_seconds=lifetime_seconds), repeatable=True)


def put_exec(id: str, exec_id: str, body: Json) -> Call[Execution]:  # noqa: A002
    """Starts a command, or attaches to the one with this id: repeated, it runs once."""
    return Call("PUT", _at(id, "execs", exec_id), _execution, json=body, repeatable=True)


def get_exec(id: str, exec_id: str, wait_seconds: int) -> Call[Execution]:  # noqa: A002
    """A command, as it is when it has ended, or after `wait_seconds`."""
    params = {"wait_seconds": str(wait_seconds)} if wait_seconds else {}
    timeout = RESPONSE_TIMEOUT + wait_seconds
    return Call("GET", _at(id, "execs", exec_id), _execution, params=params, response_timeout=timeout, repeatable=True)


def list_execs(id: str) -> Call[list[ExecutionSummary]]:  # noqa: A002
    """The commands of a sandbox, as they are now."""

    def parse(response: httpx.Response) -> list[ExecutionSummary]:
        return [ExecutionSummary.parse(item) for item in response.json()["items"]]

    return Call("GET", _at(id, "execs"), parse, repeatable=True)


def put_stdin(id: str, exec_id: str, data: bytes, offset: int, eof: bool) -> Call[None]:  # noqa: A002
    """Bytes for a command's standard input. No time-out: the command may read slowly."""
    params = {"offset": str(offset), "eof": "true" if eof else "false"}
    path = _at(id, "execs", exec_id, "stdin")
    return Call("PUT", path, _nothing, params=params, content=data, response_timeout=None, repeatable=True)


def signal_exec(id: str, exec_id: str, signal: str | int, tree: bool) -> Call[None]:  # noqa: A002
    """Sends a signal to a command."""
    return Call("POST", _at(id, "execs", exec_id, "signal"), _nothing, json={"signal": signal, "tree": tree})


def kill_exec(id: str, exec_id: str) -> Call[Execution]:  # noqa: A002
    """Ends a command and all processes that it has started."""
    return Call("DELETE", _at(id, "execs", exec_id), _execution, repeatable=True)


def exec_output(id: str, exec_id: str, stream: str, offset: int, wait_seconds: int) -> Call[Chunk]:  # noqa: A002
    """The output of a command from an offset on."""

    def parse(response: httpx.Response) -> Chunk:
        data = response.content
        following = int(response.headers.get("x-next-offset", offset + len(data)))
        return Chunk(data, following, response.headers.get("x-ended", "false") == "true")

    params = {"offset": str(offset)} | ({"wait_seconds": str(wait_seconds)} if wait_seconds else {})
    timeout = RESPONSE_TIMEOUT + wait_seconds
    path = _at(id, "execs", exec_id, stream)
    return Call("GET", path, parse, params=params, response_timeout=timeout, repeatable=True)


def _download(id: str, what: str, **params: Any) -> Call[bytes]:  # noqa: A002
    given = {name: str(value) for name, value in present(**params).items()}

    def parse(response: httpx.Response) -> bytes:
        return response.content

    return Call("GET", _at(id, what), parse, params=given, response_timeout=FILE_TIMEOUT, repeatable=True)


def read_file(id: str, path: str, max_bytes: int | None, user: str | None) -> Call[bytes]:  # noqa: A002
    """The bytes of a file."""
    return _download(id, "file", path=path, max_bytes=max_bytes, user=user)


def read_tar(id: str, path: str, user: str | None) -> Call[bytes]:  # noqa: A002
    """What is in a directory, as tar."""
    return _download(id, "tar", path=path, user=user)


def read_diff(id: str) -> Call[bytes]:  # noqa: A002
    """What has changed since the start of a sandbox, as tar."""
    return _download(id, "diff")


def write_tar(id: str, path: str, archive: bytes, user: str | None) -> Call[None]:  # noqa: A002
    """Writes what is in a tar into a directory, which is created."""
    return Call(
        "PUT", _at(id, "tar"), _nothing, params=present(path=path, user=user), content=archive,
        headers={"content-type": "application/x-tar"}, response_timeout=FILE_TIMEOUT, repeatable=True,
    )  # fmt: skip


def write_file(id: str, path: str, data: bytes, user: str | None) -> Call[None]:  # noqa: A002
    """Writes a file, with the directories above it."""
    params = present(path=path, user=user)
    return Call(
        "PUT", _at(id, "file"), _nothing, params=params, content=data, response_timeout=FILE_TIMEOUT, repeatable=True
    )


def execution(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    timeout_seconds: float | None = None,
    max_output_bytes: int | None = None,
    keep: Keep | None = None,
    stdin: Content | None = None,
    detach: bool = False,
    stream_stdin: bool = False,
) -> tuple[Json, bytes | None]:
    """The body of an execution, and the standard input that is to be streamed beside it."""
    streamed: bytes | None = None
    given: Any = None
    if stream_stdin:
        given = "stream"
    elif stdin is not None:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        if len(data) > MAX_INLINE_STDIN_BYTES:
            given, streamed = "stream", data
        else:
            given = {"text": stdin} if isinstance(stdin, str) else {"base64": base64.b64encode(data).decode()}
    body = present(
        argv=list(argv),
        cwd=cwd,
        env=dict(env) if env else None,
        user=user,
        timeout_seconds=timeout_seconds,
        max_output_bytes=max_output_bytes,
        keep=keep,
        stdin=given,
        detach=True if detach or streamed is not None else None,
    )
    return body, streamed
