import subprocess

from exercise import expect, run_answer

# Each says of itself that it is the other.
LIE = "import time; open('/tmp/kernel', 'w').write({!r}); time.sleep(60)"


def started(runtime, lie):
    command = ["docker", "run", "--detach", "--rm", "--network=none", f"--runtime={runtime}"]
    command += ["crucible/python:local", "python3", "-c", LIE.format(lie)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


containers = {}
try:
    containers["gvisor"] = started("runsc", "Linux")
    containers["host"] = started("runc", "gVisor")
    for right, container in containers.items():
        printed = run_answer(container).strip()
        expect(printed == right, f"it prints {printed!r} for a container that is {right!r}")
finally:
    for container in containers.values():
        subprocess.run(["docker", "rm", "--force", container], capture_output=True)
