"""`python -m crucible_client.shell ID`: a shell in a sandbox, without a terminal of its own."""

from __future__ import annotations

import argparse
import codecs
import sys
import threading
from typing import TextIO

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
    try:
        for line in sys.stdin.buffer:
            sandbox.write_stdin(execution.id, line, offset=offset)
            offset += len(line)
        sandbox.write_stdin(execution.id, b"", offset=offset, eof=True)
    except CrucibleError:
        return  # the shell has ended, or its sandbox: the main thread says so


def _copy(sandbox: Sandbox, execution: Execution, name: str, target: TextIO) -> None:
    offset, ended = 0, False
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two parts
    while not ended:
        try:
            chunk = sandbox.output(execution.id, name, offset=offset, wait_seconds=_LONG_POLL_SECONDS)
        except CrucibleError:
            return  # likewise
        offset, ended = chunk.next_offset, chunk.ended
        text = decoder.decode(chunk.data, final=ended)
        # Escape sequences of a program stay in its sandbox.
        print("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text), end="", flush=True, file=target)


if __name__ == "__main__":
    sys.exit(main())
