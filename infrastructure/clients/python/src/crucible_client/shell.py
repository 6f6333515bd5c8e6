"""`python -m crucible_client.shell ID`: a shell in a sandbox, without a terminal of its own."""

from __future__ import annotations

import argparse
import sys
import threading

from .client import Client, Sandbox
from .errors import CrucibleError
from .models import Execution

_LONG_POLL_SECONDS = 20


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m crucible_client.shell",
        description="Start a shell in a sandbox, and connect it with standard input and output.",
    )
    parser.add_argument("id", help="id of the sandbox")
    parser.add_argument("--user", help="user of the sandbox [default: its own]")
    options = parser.parse_args()
    try:
        with Client() as client:
            return _run(client.sandbox(options.id), options.user)
    except CrucibleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 125


def _run(sandbox: Sandbox, user: str | None) -> int:
    execution = sandbox.start(["/bin/sh"], user=user, stream_stdin=True)
    readers = [
        threading.Thread(target=_copy, args=(sandbox, execution, name, target), daemon=True)
        for name, target in (("stdout", sys.stdout), ("stderr", sys.stderr))
    ]
    for reader in readers:
        reader.start()
    threading.Thread(target=_feed, args=(sandbox, execution), daemon=True).start()
    while not execution.ended:
        execution = sandbox.execution(execution.id, wait_seconds=_LONG_POLL_SECONDS)
    for reader in readers:
        reader.join(timeout=_LONG_POLL_SECONDS)
    return execution.exit_code if execution.exit_code is not None else 125


def _feed(sandbox: Sandbox, execution: Execution) -> None:
    offset = 0
    for line in sys.stdin.buffer:
        sandbox.write_stdin(execution.id, line, offset=offset)
        offset += len(line)
    sandbox.write_stdin(execution.id, b"", offset=offset, eof=True)


def _copy(sandbox: Sandbox, execution: Execution, name: str, target: object) -> None:
    offset, ended = 0, False
    while not ended:
        chunk = sandbox.output(execution.id, name, offset=offset, wait_seconds=_LONG_POLL_SECONDS)
        # Escape sequences of a program stay in its sandbox.
        text = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in chunk.data.decode("utf-8", "replace"))
        print(text, end="", flush=True, file=target)  # type: ignore[call-overload]
        offset, ended = chunk.next_offset, chunk.ended


if __name__ == "__main__":
    sys.exit(main())
