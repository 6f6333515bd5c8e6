"""One server for all tests: the one at CRUCIBLE_URL, which the Rust test that runs these has started."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from crucible_client import AsyncClient, AsyncSandbox


def pytest_configure() -> None:
    if "CRUCIBLE_URL" not in os.environ:
        pytest.exit("start a stage 09 and set CRUCIBLE_URL", returncode=2)


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient() as client:
        yield client


@pytest.fixture(scope="session")
async def sandbox(client: AsyncClient) -> AsyncIterator[AsyncSandbox]:
    async with await client.create_sandbox(labels={"test": "shared"}) as sandbox:
        yield sandbox
