"""`@sandboxenv(name="crucible")`."""

from __future__ import annotations

import logging
import posixpath
import shlex
import sys
from typing import Any, Final, Literal, overload

import anyio
from inspect_ai.util import (
    ExecResult,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    sandboxenv,
)
from pydantic import BaseModel

from .. import errors
from ..aio import AsyncClient, AsyncSandbox
from ..client import Client
from .config import CONFIG_FILE, CrucibleConfig
from .session import RUN, RUN_LABEL, TASK_LABEL, Lease, labels, session
from .translate import exec_result, raise_file_error, sandbox_errors

logger = logging.getLogger(__name__)

POLLING_INTERVAL: Final = 0.2
SANDBOXES_PER_WORKER: Final = 2
CLEANUP_TIMEOUT: Final = 30.0
STATUS_PATIENCE: Final = 5.0


@sandboxenv(name="crucible")
class CrucibleSandboxEnvironment(SandboxEnvironment):
    """A sandbox of a Crucible server: gVisor, no network, its own file system, removed with the sample."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._lease = Lease(sandbox)
        self._workdir = sandbox.info.workdir or "/"

    # --- the life of a task and its samples

    @classmethod
    def config_files(cls) -> list[str]:
        """Found beside a task that names no configuration."""
        return [CONFIG_FILE]

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        """Of a log, to repeat what it has."""
        return CrucibleConfig(**config)

    @classmethod
    def default_concurrency(cls) -> int | None:
        """Two for each of the server's workers, as Docker's provider has two for each processor of its machine.

        `--max-sandboxes` sets another number. Without an answer there is no bound: a server that is full refuses, and
        is asked again.
        """
        try:
            with Client(patience=STATUS_PATIENCE) as client:
                return max(1, SANDBOXES_PER_WORKER * int(client.queue()["workers"]))
        except errors.CrucibleError:
            return None

    def default_polling_interval(self) -> float:
        """For requests that a program in the sandbox makes to Inspect."""
        return POLLING_INTERVAL

    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        """Checks that there is a server, once, before any sample."""
        here = session()
        here.tasks += 1
        wanted = CrucibleConfig.of(config)
        client = here.client(wanted)
        with anyio.move_on_after(STATUS_PATIENCE):
            try:
                await client.status()
                return
            except errors.ApiError as error:
                raise _prerequisite(f"Crucible at {client.settings.url} refused this key: {error}") from error
            except errors.CrucibleError as error:
                raise _prerequisite(f"no Crucible at {client.settings.url}: {error}") from error
        raise _prerequisite(f"no Crucible at {client.settings.url}; start a stage there, or set CRUCIBLE_URL")

    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Opens the sandbox of a sample."""
        here = session()
        wanted = CrucibleConfig.of(config)
        # The request has an Idempotency-Key: repeated, it opens one. Cancelled on its way, the sandbox that it may
        # have opened has the label of this run, and `task_cleanup` removes it.
        sandbox = await here.client(wanted).create_sandbox(**wanted.options(labels(task_name)))
        here.left[sandbox.id] = sandbox
        return {"default": cls(sandbox)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Removes the sandbox of a sample. Raises nothing: that would fail a sample that was good."""
        if interrupted:
            return  # task_cleanup does it, outside of the cancelled scope
        for environment in environments.values():
            sandbox = environment.as_type(CrucibleSandboxEnvironment)._sandbox
            if not await session().remove(sandbox):
                logger.warning("sandbox %s was not removed; its idle time-out will", sandbox.id)

    @classmethod
    async def task_cleanup(cls, task_name: str, config: SandboxEnvironmentConfigType | None, cleanup: bool) -> None:
        """Removes what the samples have left, or says how to."""
        here = session()
        here.tasks -= 1
        client = here.client(CrucibleConfig.of(config))
        with anyio.move_on_after(CLEANUP_TIMEOUT, shield=True):
            if cleanup:
                await _remove_left(client, here.tasks <= 0)
            else:
                for sandbox in here.left.values():
                    print(f"kept: inspect sandbox cleanup crucible {sandbox.id}", file=sys.stderr)
            if here.tasks <= 0:
                await here.close()

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:  # noqa: A002
        """Removes one sandbox, or all that Inspect has opened with this key."""
        async with AsyncClient() as client:
            found = [id] if id is not None else [info.id async for info in _opened_by_inspect(client, None)]
            for one in found:
                await (await client.sandbox(one)).remove()
                print(f"removed {one}")

    # --- a sandbox

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,  # noqa: A002
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,  # noqa: ASYNC109
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Runs a command to its end. It runs once: `timeout_retry` is advice that this provider does not take."""
        await self._lease.keep()
        with sandbox_errors():
            execution = await self._sandbox.exec(
                cmd,
                stdin=input,
                cwd=self._resolve(cwd or ""),
                env=env,
                user=user,
                timeout_seconds=timeout,
                max_output_bytes=SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE,
                keep="tail",
            )
        return exec_result(execution, cmd[0], user, timeout)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Writes a file as the default user, with the directories above it."""
        await self._lease.keep()
        path = self._resolve(file)
        try:
            with sandbox_errors():
                await self._sandbox.write_file(path, contents)
        except errors.FileError as error:
            raise_file_error(error, path)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Reads a file as the default user."""
        await self._lease.keep()
        path = self._resolve(file)
        try:
            with sandbox_errors():
                data = await self._sandbox.read_file(path, max_bytes=SandboxEnvironmentLimits.MAX_READ_FILE_SIZE)
        except errors.FileError as error:
            raise_file_error(error, path)
        return data.decode("utf-8") if text else data

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """A shell in the sandbox, over the same API."""
        try:
            info = (await self._sandbox.client.sandbox(self._sandbox.id)).info
        except errors.CrucibleError as error:
            raise ConnectionError(str(error)) from error
        if info.status == "ended":
            raise ConnectionError(f"sandbox {info.id} has ended: {info.end_reason}")
        command = [sys.executable, "-m", "crucible_client.shell", info.id, *(["--user", user] if user else [])]
        return SandboxConnection(type="crucible", command=shlex.join(command), container=info.id)

    def _resolve(self, path: str) -> str:
        return posixpath.join(self._workdir, path)


def _prerequisite(message: str) -> Exception:
    try:
        from inspect_ai._util.error import PrerequisiteError
    except ImportError:  # not part of Inspect's public interface
        return RuntimeError(message)
    return PrerequisiteError(message)


async def _remove_left(client: AsyncClient, is_last: bool) -> None:
    here = session()
    for sandbox in list(here.left.values()) if is_last else []:
        await here.remove(sandbox)
    if not is_last:
        return
    try:
        async for info in _opened_by_inspect(client, RUN):
            await (await client.sandbox(info.id)).remove()
    except errors.CrucibleError as error:
        logger.warning("sandboxes may be left, until their idle time-out: %s", error)


async def _opened_by_inspect(client: AsyncClient, run: str | None) -> Any:
    label = f"{RUN_LABEL}={run}" if run else None
    async for info in client.sandboxes(label=label):
        if TASK_LABEL in info.labels and info.status != "ended":
            yield info
