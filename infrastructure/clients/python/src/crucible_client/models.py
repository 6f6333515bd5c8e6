"""What the API answers with, as far as a caller needs it; `raw` has all of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeVar

Json = dict[str, Any]
T = TypeVar("T")
Keep = Literal["head", "tail"]

PLATFORM_OUTCOMES = frozenset({"engine_error", "worker_lost", "queue_time_exceeded", "cancelled"})
"""Outcomes of an evaluation that say nothing about its program."""
TIME_OUTCOMES = frozenset({"wall_time_exceeded", "cpu_time_exceeded"})
"""Outcomes of a program that was too slow."""


def _of(model: type[T], raw: Json, **given: Any) -> T:
    """A model whose fields are the members of `raw` by their names, but for those that are given."""
    given["raw"] = raw
    names = [one.name for one in fields(model) if one.name not in given]  # type: ignore[arg-type]
    return model(**given, **{name: raw.get(name) for name in names})


@dataclass(frozen=True, slots=True)
class Output:
    """What a program wrote to one of its streams, as far as it was kept."""

    data: bytes
    bytes_total: int
    truncated: bool

    @property
    def text(self) -> str:
        """As text; what is not UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")

    @classmethod
    def parse(cls, raw: Json | None) -> Self:
        """Of an output as the API has it: `text` in the encoding `utf8` or `base64`."""
        raw = raw or {}
        text = raw.get("text") or ""
        is_base64 = raw.get("encoding") == "base64"
        data = base64.b64decode(raw.get("base64") or text) if is_base64 else text.encode()
        return cls(data, int(raw.get("bytes_total", len(data))), bool(raw.get("truncated", False)))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run of one submitted program."""

    id: str
    status: str
    outcome: str | None
    exit_code: int | None
    signal: str | None
    stdout: Output
    stderr: Output
    error: str | None
    raw: Json = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether it has an outcome."""
        return self.outcome is not None

    @property
    def judges_program(self) -> bool:
        """Whether its end says something about the program, and not about the platform alone."""
        return self.ended and self.outcome not in PLATFORM_OUTCOMES

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Of an evaluation as the API has it."""
        return _of(cls, raw, stdout=Output.parse(raw.get("stdout")), stderr=Output.parse(raw.get("stderr")))


@dataclass(frozen=True, slots=True)
class Batch:
    """Evaluations that were accepted together."""

    id: str
    status: str
    total: int
    counts: dict[str, int]
    evaluations: list[str]

    @property
    def ended(self) -> bool:
        """Whether none of them waits or runs."""
        return self.status == "ended"

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Of a batch as the API has it."""
        return cls(raw["id"], raw["status"], raw["total"], dict(raw["counts"]), list(raw["evaluations"]))


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A sandbox that stays, as it is now."""

    id: str
    status: str
    environment: str | None
    user: str | None
    workdir: str | None
    labels: dict[str, str]
    expires_at: str | None
    end_reason: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Of a sandbox as the API has it."""
        return _of(cls, raw, labels=dict(raw.get("labels") or {}))


@dataclass(frozen=True, slots=True)
class Execution:
    """One command in a sandbox."""

    id: str
    status: str
    outcome: str | None
    exit_code: int | None
    signal: str | None
    errno: str | None
    stdout: Output
    stderr: Output
    duration_ms: int | None
    raw: Json = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether it has an outcome."""
        return self.status == "ended"

    @property
    def succeeded(self) -> bool:
        """Whether the command exited with 0."""
        return self.outcome == "exited" and self.exit_code == 0

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Of an execution as the API has it."""
        return _of(cls, raw, stdout=Output.parse(raw.get("stdout")), stderr=Output.parse(raw.get("stderr")))


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """One command in a list: without its output, of which there is the length."""

    id: str
    status: str
    program: str
    started_at: str
    outcome: str | None
    exit_code: int | None
    signal: str | None
    errno: str | None
    duration_ms: int | None
    stdout_bytes: int
    stderr_bytes: int
    raw: Json = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether it has an outcome."""
        return self.status == "ended"

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Of an item of the API's list."""
        return _of(cls, raw)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the output of a detached execution."""

    data: bytes
    next_offset: int
    ended: bool
