"""A time limit for a program of a stranger."""
import os
import signal
import subprocess
import sys
import time

# It starts a child with its own end in mind.
PROGRAM = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9)']); time.sleep(9)"


def alive(group):
    """The processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return sum(int(pgid) == group and not stat.startswith("Z") for pgid, stat in rows)


def run(end):
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], start_new_session=True)
    while alive(child.pid) < 2:
        time.sleep(0.02)
    end(child)
    child.wait()
    left = alive(child.pid)
    if left:
        os.killpg(child.pid, signal.SIGKILL)
    return left


print("never:  ", run(lambda child: child.kill()), "process is left")
print("instead:", run(lambda child: os.killpg(child.pid, signal.SIGKILL)), "processes are left")
