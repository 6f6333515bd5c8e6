"""The options of the three requests, typed once for both clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

from .models import Keep

SHORT_SECONDS: Final = 45.0
"""A command with such a time-out is waited for in the request that starts it."""


class SubmissionOptions(TypedDict, total=False):
    """What a program is run with."""

    stdin: str | bytes | None
    files: Mapping[str, str | bytes] | None
    timeout_seconds: float | None
    memory_bytes: int | None
    labels: Mapping[str, str] | None
    environment: str | None
    priority: str | None
    queue_timeout_seconds: float | None


class SandboxOptions(TypedDict, total=False):
    """What a sandbox is opened with."""

    environment: str | None
    limits: Mapping[str, int] | None
    idle_timeout_seconds: int | None
    lifetime_seconds: int | None
    labels: Mapping[str, str] | None


class ExecOptions(TypedDict, total=False):
    """What a command is run with."""

    cwd: str | None
    env: Mapping[str, str] | None
    user: str | None
    timeout_seconds: float | None
    max_output_bytes: int | None
    keep: Keep | None
    stdin: str | bytes | None


def is_short(options: ExecOptions) -> bool:
    """Whether the command's end is sure to come before a proxy gives the connection up."""
    timeout = options.get("timeout_seconds")
    return timeout is not None and timeout <= SHORT_SECONDS
