"""What may go wrong, one class for each thing that a caller handles differently."""

from __future__ import annotations

from typing import Any


class CrucibleError(Exception):
    """Any failure of a call to Crucible."""


class ConfigurationError(CrucibleError):
    """The client cannot be made of what it was given."""


class TransportError(CrucibleError):
    """No response came, after all repetitions that are safe."""


class WaitTimeoutError(CrucibleError, TimeoutError):
    """The client stopped waiting. It says nothing about the program."""


class ApiError(CrucibleError):
    """A response that reports an error, `application/problem+json`."""

    def __init__(self, status: int, detail: str, problem: dict[str, Any] | None = None) -> None:
        self.status = status
        """The HTTP status."""
        self.detail = detail
        """What to change."""
        self.problem = problem or {}
        """The whole problem, with `kind`, `path`, `errors` and `request_id` where it has them."""
        errors = "".join(f"; {one.get('pointer')}: {one.get('detail')}" for one in self.problem.get("errors", []))
        super().__init__(f"{status}: {detail}{errors}")

    @property
    def kind(self) -> str | None:
        """The machine-readable kind of a problem with a file or a sandbox."""
        kind = self.problem.get("kind")
        return kind if isinstance(kind, str) else None


class NotFoundError(ApiError):
    """No such evaluation, sandbox or execution, or another key has it."""


class RefusedError(ApiError):
    """The server is full, or the key is over one of its limits, for longer than the client was to wait."""


class SandboxEndedError(ApiError):
    """The sandbox has ended; `end_reason` says why."""

    @property
    def end_reason(self) -> str | None:
        """`removed`, `idle_timeout`, `lifetime_exceeded`, `memory_exceeded`, `server_stopped`, ..."""
        reason = self.problem.get("end_reason")
        return reason if isinstance(reason, str) else None


class FileError(ApiError):
    """A file of a sandbox could not be read or written."""

    @property
    def path(self) -> str:
        """The path."""
        return str(self.problem.get("path", ""))


class FileMissingError(FileError):
    """No such file."""


class FilePermissionError(FileError):
    """The user of the sandbox may not do that."""


class FileIsDirectoryError(FileError):
    """It is a directory."""


class FileNotRegularError(FileError):
    """It is a device, a socket or a FIFO."""


class FileTooLargeError(FileError):
    """It has more bytes than the caller wanted."""


_FILE_ERRORS: dict[str, type[FileError]] = {
    "not_found": FileMissingError,
    "permission": FilePermissionError,
    "read_only": FilePermissionError,
    "is_directory": FileIsDirectoryError,
    "not_regular": FileNotRegularError,
    "too_large": FileTooLargeError,
    "other": FileError,
}


def of_response(status: int, problem: dict[str, Any], text: str) -> ApiError:
    """The error that a response stands for."""
    detail = str(problem.get("detail") or problem.get("title") or text[:1000] or "no detail")
    kind = problem.get("kind")
    error: type[ApiError] = ApiError
    if isinstance(kind, str) and kind in _FILE_ERRORS and "path" in problem:
        error = _FILE_ERRORS[kind]
    elif status == 404:
        error = NotFoundError
    elif status == 410:
        error = SandboxEndedError
    elif status in (429, 503):
        error = RefusedError
    return error(status, detail, problem)
