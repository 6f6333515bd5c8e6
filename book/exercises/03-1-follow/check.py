import subprocess
import sys

from exercise import ANSWER, Stage, expect

PROGRAM = """
import time
print("first", flush=True)
time.sleep(8)
print("second", flush=True)
"""
with Stage(3) as stage:
    id = stage.request("/eval", "POST", {"code": PROGRAM}).json()["id"]
    answer = subprocess.Popen(
        [sys.executable, str(ANSWER), stage.url, id], stdout=subprocess.PIPE, text=True
    )
    first = answer.stdout.readline()
    # The judge is the server, not a clock: the program has not ended yet.
    state = stage.request(f"/eval/{id}").json()["status"]
    rest = answer.communicate(timeout=30)[0]
expect(first == "first\n", f"the first line is {first!r}")
expect(state == "running", f"the first line came when the evaluation was {state}")
expect(rest == "second\n", f"after it comes {rest!r}")
