"""What the provider keeps between its calls: one client for each event loop, and the sandboxes of this process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import uuid4

from anyio.lowlevel import RunVar

from ..aio import AsyncClient, AsyncSandbox
from ..errors import CrucibleError
from .config import CrucibleConfig

TASK_LABEL: Final = "inspect-task"
RUN_LABEL: Final = "inspect-run"
RUN: Final = uuid4().hex
"""Marks the sandboxes of this process, so that the end of a task removes no other's."""
PATIENCE: Final = 600.0
"""Seconds that a sample waits for a place: with more samples than places, that is no error."""


@dataclass
class Session:
    """One for each event loop: connections belong to one."""

    clients: dict[str | None, AsyncClient] = field(default_factory=dict)
    left: dict[str, AsyncSandbox] = field(default_factory=dict)
    """The sandboxes that were opened here and not removed, by id."""
    tasks: int = 0

    def client(self, config: CrucibleConfig) -> AsyncClient:
        """The client of a configuration's server."""
        if config.url not in self.clients:
            self.clients[config.url] = AsyncClient(config.url, patience=PATIENCE)
        return self.clients[config.url]

    async def close(self) -> None:
        """Closes the connections."""
        clients, self.clients = self.clients, {}
        for client in clients.values():
            await client.close()

    async def remove(self, sandbox: AsyncSandbox) -> bool:
        """Removes a sandbox; false when that could not be done, which the idle time-out of the server then does."""
        try:
            await sandbox.remove()
        except CrucibleError:
            return False
        self.left.pop(sandbox.id, None)
        return True


_sessions: RunVar[Session] = RunVar("crucible-inspect")


def session() -> Session:
    """That of this event loop."""
    try:
        return _sessions.get()
    except LookupError:
        made = Session()
        _sessions.set(made)
        return made


def labels(task_name: str) -> dict[str, str]:
    """The labels of a sandbox that a task opens."""
    task = "".join(character for character in task_name if character.isprintable())[:200] or "task"
    return {TASK_LABEL: task, RUN_LABEL: RUN}


class Lease:
    """Renews a sandbox when half of its lifetime is over, so that it lives as long as it is used."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox
        self._renew_at = self._half()

    def _half(self) -> float:
        info = self._sandbox.info
        try:
            created = datetime.fromisoformat(str(info.raw.get("renewed_at") or info.raw["created_at"]))
            expires = datetime.fromisoformat(str(info.expires_at))
        except (KeyError, ValueError):
            return float("inf")
        # By differences only: the clock of the server may be another one.
        lifetime = info.raw.get("lifetime_seconds") or (expires - created).total_seconds()
        return time.monotonic() + float(lifetime) / 2

    async def keep(self) -> None:
        """Called before each use."""
        if time.monotonic() < self._renew_at:
            return
        try:
            await self._sandbox.renew()
        except CrucibleError:
            return  # the use that follows fails with the reason, if there is one
        self._renew_at = self._half()
