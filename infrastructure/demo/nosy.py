"""A program that looks around: what a stranger's code would try first.

It is harmless, and it is told on its standard input where the demo has laid its secrets, so that
nothing but the walls around it decides whether it gets them.
"""

import json
import os
import pathlib
import socket
import sys

told = json.load(sys.stdin)


def attempt(what, how):
    try:
        got = how()
    except Exception as error:  # each way of failing is worth seeing
        got = f"no: {type(error).__name__}: {error}"
    print(f"{what:<28} {got}", flush=True)


def connect():
    with socket.create_connection(("127.0.0.1", told["port"]), timeout=3) as connection:
        return f"connected to {connection.getpeername()}"


def neighbours():
    commands = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        commands.append(command.strip())
    known = [command for command in commands if told["process"] in command]
    return f"{len(commands)} processes; the demo's own: {known[0][-60:] if known else 'not among them'}"


def plant():
    pathlib.Path(told["plant"]).write_text("I was here\n")
    return f"wrote {told['plant']}"


attempt("read a secret file", lambda: pathlib.Path(told["file"]).read_text().strip())
attempt("read the server's secrets", lambda: os.environ.get("CRUCIBLE_DEMO_SECRET", "no: not in the environment"))
attempt("reach a local service", connect)
attempt("see other processes", neighbours)
attempt("leave a file behind", plant)
attempt("name the kernel", lambda: os.uname().release)
