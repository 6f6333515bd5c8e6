"""What Inspect's self check does not look at, or says it looks at and does not."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import AsyncIterator

import anyio
import pytest
from inspect_ai.util import SandboxEnvironment, SandboxEnvironmentSpec, SandboxUnavailableError
from inspect_ai.util._sandbox.limits import override_max_exec_output_size
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv

from crucible_client import AsyncClient, Client
from crucible_client.inspect import CrucibleConfig, CrucibleSandboxEnvironment

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
async def environment() -> AsyncIterator[SandboxEnvironment]:
    await CrucibleSandboxEnvironment.task_init("provider", None)
    environments = await CrucibleSandboxEnvironment.sample_init("provider", None, {})
    yield environments["default"]
    await CrucibleSandboxEnvironment.sample_cleanup("provider", None, environments, False)
    await CrucibleSandboxEnvironment.task_cleanup("provider", None, True)


async def processes(environment: SandboxEnvironment) -> str:
    listed = await environment.exec(["ps", "-eo", "args"], user="root")
    assert listed.success, listed.stderr
    return listed.stdout


# Upstream's `test_exec_timeout_kills_child_processes` has the `&` behind a `#`, so that it starts no child. These do.
@pytest.mark.parametrize(
    "start",
    [
        pytest.param("sh -c 'sleep 60; : MARK' & sleep 60; :", id="background"),
        pytest.param("setsid sh -c 'sleep 60; : MARK' & sleep 60; :", id="setsid"),
        pytest.param("(setsid sh -c 'sleep 60; : MARK' &) ; sleep 60; :", id="double_fork"),
        pytest.param(
            "nohup setsid sh -c 'trap \"\" TERM HUP; sleep 60; : MARK' >/dev/null 2>&1 & sleep 60; :", id="deaf"
        ),
    ],
)
async def test_a_timeout_ends_every_process_of_the_command(environment: SandboxEnvironment, start: str) -> None:
    marker = f"mark-{secrets.token_hex(8)}"
    async with anyio.create_task_group() as group:
        seen: list[bool] = []

        async def look() -> None:
            while not seen:
                if f": {marker}" in await processes(environment):
                    seen.append(True)
                await anyio.sleep(0.05)

        group.start_soon(look)
        with pytest.raises(TimeoutError):
            await environment.exec(["sh", "-c", start.replace("MARK", marker)], timeout=3)
        assert seen, "the child never ran: this test would prove nothing"
    assert f": {marker}" not in await processes(environment)


async def test_a_daemon_outlives_its_command_and_does_not_hold_it_up(environment: SandboxEnvironment) -> None:
    marker = f"daemon-{secrets.token_hex(8)}"
    with anyio.fail_after(30):  # the daemon has the pipes, and sleeps for longer
        started = await environment.exec(["sh", "-c", f"echo up; (sh -c 'sleep 300; : {marker}' &)"], timeout=60)
    assert (started.returncode, started.stdout) == (0, "up\n")
    assert f": {marker}" in await processes(environment)


async def test_output_of_a_command_that_was_too_slow_is_not_lost(environment: SandboxEnvironment) -> None:
    with pytest.raises(TimeoutError) as error:
        await environment.exec(["sh", "-c", "echo half; echo done >&2; sleep 60"], timeout=1)
    assert "half" in error.value.truncated_output  # type: ignore[attr-defined]
    assert "done" in error.value.truncated_output  # type: ignore[attr-defined]


async def test_of_too_much_output_the_end_is_kept(environment: SandboxEnvironment) -> None:
    with override_max_exec_output_size(1024):
        result = await environment.exec(["sh", "-c", "seq 1 10000"])
    assert result.success
    assert len(result.stdout) <= 1024
    assert result.stdout.endswith("9999\n10000\n")


async def test_a_missing_program_is_a_failed_command(environment: SandboxEnvironment) -> None:
    result = await environment.exec(["no-such-program"])
    assert (result.success, result.returncode) == (False, 127)
    assert "no-such-program" in result.stderr


async def test_a_cancelled_command_is_ended(environment: SandboxEnvironment) -> None:
    marker = f"cancelled-{secrets.token_hex(8)}"
    with anyio.move_on_after(1):
        await environment.exec(["sh", "-c", f"sleep 60; : {marker}"])
    assert f": {marker}" not in await processes(environment)


async def test_a_sandbox_that_has_ended_is_unavailable() -> None:
    environments = await CrucibleSandboxEnvironment.sample_init("ended", None, {})
    environment = environments["default"].as_type(CrucibleSandboxEnvironment)
    assert (await environment.connection()).container is not None
    await environment._sandbox.remove()
    with pytest.raises(SandboxUnavailableError):
        await environment.exec(["true"])
    with pytest.raises(ConnectionError):
        await environment.connection()
    # Not an error: a good sample is not failed by it.
    await CrucibleSandboxEnvironment.sample_cleanup("ended", None, environments, False)


async def test_the_end_of_a_task_removes_what_its_samples_left(client: AsyncClient) -> None:
    await CrucibleSandboxEnvironment.task_init("left", None)
    environments = await CrucibleSandboxEnvironment.sample_init("left", None, {})
    sandbox = environments["default"].as_type(CrucibleSandboxEnvironment)._sandbox
    await CrucibleSandboxEnvironment.sample_cleanup("left", None, environments, True)
    assert (await client.sandbox(sandbox.id)).info.status == "ready"
    await CrucibleSandboxEnvironment.cli_cleanup(sandbox.id)
    info = (await client.sandbox(sandbox.id)).info
    assert (info.status, info.end_reason) == ("ended", "removed")
    await CrucibleSandboxEnvironment.task_cleanup("left", None, True)


def test_inspect_finds_the_provider_and_its_configuration() -> None:
    assert registry_find_sandboxenv("crucible") is CrucibleSandboxEnvironment
    spec = SandboxEnvironmentSpec("crucible", CrucibleConfig(memory_bytes=1 << 30))
    again = SandboxEnvironmentSpec.model_validate(spec.model_dump())
    assert again.config == CrucibleConfig(memory_bytes=1 << 30)
    assert CrucibleSandboxEnvironment.config_files() == ["crucible.yaml"]
    with Client() as blocking:
        assert CrucibleSandboxEnvironment.default_concurrency() == 2 * blocking.queue()["workers"]
    with pytest.raises(ValueError, match="memory"):
        CrucibleConfig.model_validate({"memory": 1})


async def test_the_command_line_of_inspect_removes_a_sandbox(client: AsyncClient) -> None:
    """By the entry point, so that the package has to be installed."""
    sandbox = await client.create_sandbox(labels={"inspect-task": "left by a killed evaluation"})
    command = [sys.executable, "-m", "inspect_ai", "sandbox", "cleanup", "crucible", sandbox.id]
    cleanup = await anyio.to_thread.run_sync(lambda: subprocess.run(command, capture_output=True, text=True))
    assert (cleanup.returncode, cleanup.stdout) == (0, f"removed {sandbox.id}\n"), cleanup.stderr
    assert (await client.sandbox(sandbox.id)).info.end_reason == "removed"
