import os
import pathlib
import signal
import time

from exercise import ANSWER, Stage, expect, fail


def left():
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if b"CRUCIBLE_EXERCISE" in words:
                found.append(int(entry.name))
    return found


if left():
    fail("a process of an earlier attempt is still there; wait for its end")
with Stage(3) as stage:
    ended = stage.evaluate(ANSWER.read_text())
    time.sleep(0.5)
    still_there = left()
    for number in still_there:
        os.kill(number, signal.SIGKILL)
expect(ended["outcome"] == "exited", f"the evaluation ends as {ended['outcome']}")
expect(still_there, "nothing of the program is left")
