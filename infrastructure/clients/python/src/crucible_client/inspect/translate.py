"""Between the API's answers and Inspect's results and exceptions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
)

from .. import errors
from ..models import Execution

NOT_FOUND_CODE: Final = 127
NOT_STARTED_CODE: Final = 126
KILLED_CODE: Final = 137


class ExecTimeoutError(TimeoutError):
    """A command was too slow. Inspect shows a model what it printed until then."""

    def __init__(self, message: str, truncated_output: str) -> None:
        super().__init__(message)
        self.truncated_output = truncated_output


def exec_result(execution: Execution, command: str, user: str | None, timeout: int | None) -> ExecResult[str]:
    """The result of a command that has ended.

    Raises:
        ExecTimeoutError: when it was too slow.
        PermissionError: when its file may not be executed.
        SandboxUserUnsupportedError: when this sandbox cannot run anything as that user.
        SandboxUnavailableError: when the sandbox ended first.
    """
    stdout, stderr = execution.stdout.text, execution.stderr.text
    match execution.outcome:
        case "exited" | "signaled":
            code = execution.exit_code if execution.exit_code is not None else KILLED_CODE
            return ExecResult(code == 0, code, stdout, stderr)
        case "timed_out":
            raise ExecTimeoutError(f"{command} was ended after {timeout} s", f"{stdout}{stderr}")
        case "spawn_failed":
            return _not_started(execution.errno or "EIO", command)
        case "user_unknown":
            return ExecResult(False, NOT_STARTED_CODE, "", f"unable to find user {user}: no such user in the sandbox\n")
        case "user_unsupported":
            raise SandboxUserUnsupportedError(f"the engine of this sandbox runs nothing as {user!r}")
        case "killed":
            return ExecResult(False, KILLED_CODE, stdout, stderr)
        case outcome:
            raise SandboxUnavailableError(f"{command} has no result: {outcome}")


def _not_started(name: str, command: str) -> ExecResult[str]:
    number = getattr(errno, name, errno.EIO)
    text = os.strerror(number)
    if number in (errno.EACCES, errno.EPERM):
        raise PermissionError(number, text, command)
    code = NOT_FOUND_CODE if number == errno.ENOENT else NOT_STARTED_CODE
    return ExecResult(False, code, "", f"{command}: {text}\n")


@contextmanager
def sandbox_errors() -> Iterator[None]:
    """Within it, a sandbox that has ended, or a server that cannot be reached, is what Inspect has a name for."""
    try:
        yield
    except errors.SandboxEndedError as error:
        raise SandboxUnavailableError(f"the sandbox has ended: {error.end_reason or error.detail}") from error
    except (errors.NotFoundError, errors.TransportError, errors.RefusedError) as error:
        raise SandboxUnavailableError(str(error)) from error


def raise_file_error(error: errors.FileError, path: str) -> NoReturn:
    """Raises what Python has for it, with the path in its text."""
    numbers: dict[type[errors.FileError], int] = {
        errors.FileMissingError: errno.ENOENT,
        errors.FilePermissionError: errno.EACCES,
        errors.FileIsDirectoryError: errno.EISDIR,
        errors.FileNotRegularError: errno.EINVAL,
    }
    if isinstance(error, errors.FileTooLargeError):
        raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None) from error
    # Of any other error, the detail begins with its name, such as ENOSPC.
    named = getattr(errno, error.detail.partition(" ")[0].rstrip(":"), errno.EIO)
    number = numbers.get(type(error), named)
    # `OSError` with a number is the subclass for it: FileNotFoundError, PermissionError, IsADirectoryError.
    text = error.detail if number == errno.EINVAL else os.strerror(number)
    raise OSError(number, text, path) from error
