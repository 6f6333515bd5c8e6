"""`stage-09-frontier mcp`, by the MCP client from PyPI."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, TextContent

from crucible_client import AsyncClient

TOOLS = {"run_program", "open_sandbox", "execute", "read_file", "write_file", "close_sandbox"}


@asynccontextmanager
async def connected(**environment: str) -> AsyncIterator[ClientSession]:
    variables = {name: os.environ[name] for name in ("CRUCIBLE_URL", "CRUCIBLE_API_KEY") if name in os.environ}
    server = StdioServerParameters(command=os.environ["CRUCIBLE_STAGE"], args=["mcp"], env=variables | environment)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


async def call(session: ClientSession, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await session.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def failure(session: ClientSession, tool: str, **arguments: Any) -> str:
    result = await session.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert result.is_error, result.content
    [text] = result.content
    assert isinstance(text, TextContent)
    return text.text


async def test_a_program_runs_and_errors_can_be_read() -> None:
    async with connected() as session:
        listed = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(listed) == TOOLS
        assert all(tool.description for tool in listed.values())
        ended = await call(session, "run_program", code="print(input())", stdin="hello\n")
        assert ended == {"outcome": "exited", "exit_code": 0, "stdout": "hello\n", "stderr": ""}
        late = await call(session, "run_program", code="while True: pass", timeout_seconds=0.5)
        assert late["outcome"] == "wall_time_exceeded"
        assert "timeout_seconds" in await failure(session, "run_program", code="1", timeout_seconds=-1)
        assert "404" in await failure(session, "execute", sandbox="no/such", command="true")


async def test_a_server_that_is_not_there_is_named() -> None:
    async with connected(CRUCIBLE_URL="http://127.0.0.1:9") as session:
        assert "http://127.0.0.1:9" in await failure(session, "run_program", code="1")


@pytest.mark.sandbox
async def test_a_sandbox_is_used_and_removed_with_the_session(client: AsyncClient) -> None:
    async with connected() as session:
        opened = await call(session, "open_sandbox", lifetime_seconds=600)
        sandbox = opened["sandbox"]
        await call(session, "write_file", sandbox=sandbox, path="notes/a b.txt", content="ünï\n")
        ended = await call(
            session,
            "execute",
            sandbox=sandbox,
            command="cat 'notes/a b.txt'; id -un; echo $X >&2; exit 4",
            env={"X": "y"},
        )
        assert ended == {"outcome": "exited", "exit_code": 4, "stdout": "ünï\nagent\n", "stderr": "y\n"}
        read = await call(session, "read_file", sandbox=sandbox, path="notes/a b.txt")
        assert (read["content"], read["encoding"]) == ("ünï\n", "utf8")
        assert "not" in await failure(session, "read_file", sandbox=sandbox, path="missing")
        late = await call(session, "execute", sandbox=sandbox, command="echo half; sleep 60", timeout_seconds=1)
        assert (late["outcome"], late["stdout"]) == ("timed_out", "half\n")
        second = (await call(session, "open_sandbox"))["sandbox"]
        await call(session, "close_sandbox", sandbox=second)
        assert (await client.sandbox(second)).info.end_reason == "removed"
    with anyio.fail_after(20):
        while (await client.sandbox(sandbox)).info.status != "ended":
            await anyio.sleep(0.1)


@pytest.mark.sandbox
async def test_a_call_that_is_cancelled_ends_its_command() -> None:
    async with connected() as session:
        sandbox = (await call(session, "open_sandbox"))["sandbox"]

        async def processes() -> str:
            return str((await call(session, "execute", sandbox=sandbox, command="ps -eo args"))["stdout"])

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: call(session, "execute", sandbox=sandbox, command="sleep 300; : cancelled"))
            with anyio.fail_after(30):
                while ": cancelled" not in await processes():
                    await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        with anyio.fail_after(30):
            while ": cancelled" in await processes():
                await anyio.sleep(0.1)
