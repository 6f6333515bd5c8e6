"""The configuration of the provider, and its translations, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from inspect_ai.util import OutputLimitExceededError, SandboxUnavailableError, SandboxUserUnsupportedError

from crucible_client.errors import of_response
from crucible_client.inspect import CrucibleConfig
from crucible_client.inspect.translate import ExecTimeoutError, exec_result, raise_file_error, sandbox_errors
from crucible_client.models import Execution


def test_a_file_is_read_and_its_mistakes_are_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    file: Path = tmp_path_factory.mktemp("config") / "crucible.yaml"
    file.write_text("environment: agent\nmemory_bytes: 1073741824\nlabels: {model: m-1}\n")
    config = CrucibleConfig.of(str(file))
    options = config.options({"inspect-task": "t"})
    assert options["limits"] == {"memory_bytes": 1 << 30}
    assert options["labels"] == {"model": "m-1", "inspect-task": "t"}
    file.write_text("")
    assert CrucibleConfig.of(str(file)) == CrucibleConfig.of(None)
    file.write_text("memory: 1\n")
    with pytest.raises(ValueError, match="memory"):
        CrucibleConfig.of(str(file))
    file.write_text("- a list\n")
    with pytest.raises(ValueError, match="environment: agent"):
        CrucibleConfig.of(str(file))


def execution(outcome: str, **members: object) -> Execution:
    return Execution.parse({"id": "e", "status": "ended", "outcome": outcome, **members})


def test_outcomes_are_the_results_and_exceptions_that_inspect_expects() -> None:
    out = {"stdout": {"text": "half", "encoding": "utf8"}}
    assert exec_result(execution("exited", exit_code=0, **out), "c", None, None).stdout == "half"
    signaled = exec_result(execution("signaled", exit_code=143, signal="SIGTERM"), "c", None, None)
    assert (signaled.success, signaled.returncode) == (False, 143)
    with pytest.raises(ExecTimeoutError) as late:
        exec_result(execution("timed_out", **out), "c", None, 5)
    assert late.value.truncated_output == "half"
    missing = exec_result(execution("spawn_failed", errno="ENOENT"), "no-such", None, None)
    assert (missing.returncode, missing.stderr) == (127, "no-such: No such file or directory\n")
    with pytest.raises(PermissionError):
        exec_result(execution("spawn_failed", errno="EACCES"), "c", None, None)
    assert "nobody-here" in exec_result(execution("user_unknown"), "c", "nobody-here", None).stderr
    with pytest.raises(SandboxUserUnsupportedError):
        exec_result(execution("user_unsupported"), "c", "root", None)
    with pytest.raises(SandboxUnavailableError):
        exec_result(execution("sandbox_gone"), "c", None, None)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (404, "not_found", FileNotFoundError),
        (403, "permission", PermissionError),
        (409, "is_directory", IsADirectoryError),
        (409, "not_regular", OSError),
        (413, "too_large", OutputLimitExceededError),
        (409, "other", OSError),
    ],
)
def test_errors_of_files_are_those_of_python(status: int, kind: str, expected: type[Exception]) -> None:
    error = of_response(status, {"kind": kind, "path": "/a b", "detail": "ENOSPC: the file system is full"}, "")
    with pytest.raises(expected) as raised:
        raise_file_error(error, "/a b")  # type: ignore[arg-type]
    assert isinstance(raised.value, OutputLimitExceededError) or "/a b" in str(raised.value)


def test_a_sandbox_that_has_ended_says_why() -> None:
    error = of_response(410, {"kind": "sandbox_gone", "end_reason": "memory_exceeded"}, "")
    with pytest.raises(SandboxUnavailableError, match="memory_exceeded"), sandbox_errors():
        raise error
