"""A harmless program that tries what hostile code would try first.

Its standard input names the places of the demo's secrets, so that nothing but the isolation around
it decides whether it gets them.
"""

import json
import os
import pathlib
import socket
import sys

targets = json.load(sys.stdin)


def attempt(what, how):
    try:
        got = how()
    except Exception as error:  # each way of failing is worth seeing
        got = f"no: {type(error).__name__}: {error}"
    print(f"{what:<28} {got}", flush=True)


def connect():
    with socket.create_connection(("127.0.0.1", targets["port"]), timeout=3) as connection:
        return f"connected to {connection.getpeername()}"


def neighbours():
    commands = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        commands.append(command.strip())
    known = [command for command in commands if targets["process"] in command]
    return f"{len(commands)} processes; the demo's own: {known[0][-60:] if known else 'not among them'}"


def plant():
    pathlib.Path(targets["plant"]).write_text("I was here\n")
    return f"wrote {targets['plant']}"


attempt("read a secret file", lambda: pathlib.Path(targets["file"]).read_text().strip())
attempt("read the server's secrets", lambda: os.environ.get("CRUCIBLE_DEMO_SECRET", "no: not in the environment"))
attempt("reach a local service", connect)
attempt("see other processes", neighbours)
attempt("leave a file behind", plant)
attempt("name the kernel", lambda: os.uname().release)
