"""Inspect AI's own conformance tests, all of them, without one that is expected to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from inspect_ai.util import SandboxEnvironment
from inspect_ai.util._sandbox import self_check
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

from crucible_client.inspect import CrucibleSandboxEnvironment

EXPECTED = 44

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="session")
async def environment() -> AsyncIterator[SandboxEnvironment]:
    await CrucibleSandboxEnvironment.task_init("self_check", None)
    environments = await CrucibleSandboxEnvironment.sample_init("self_check", None, {})
    yield environments["default"]
    await CrucibleSandboxEnvironment.sample_cleanup("self_check", None, environments, False)
    await CrucibleSandboxEnvironment.task_cleanup("self_check", None, True)


@pytest.fixture
async def sandbox_env(environment: SandboxEnvironment) -> SandboxEnvironment:
    return environment


def test_the_list_is_the_one_that_is_known() -> None:
    assert len(self_check.__all__) == EXPECTED


async def test_ps_is_there_so_that_the_tests_of_killed_processes_test_something(
    sandbox_env: SandboxEnvironment,
) -> None:
    marker = "ps-sees-this"
    found = await sandbox_env.exec(["sh", "-c", f"sh -c ': {marker}; sleep 5; :' & sleep 0.3; ps aux; kill $!"])
    assert found.success, found.stderr
    assert f": {marker};" in found.stdout
