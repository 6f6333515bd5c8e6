import subprocess

from exercise import ANSWER, expect, fail

HOSTILE = r"""
import os, socket, sys
free = []
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
if os.getuid() == 0: free.append("it runs as root")
if int(status["CapBnd"], 16): free.append("it can have capabilities")
if int(status["NoNewPrivs"]) == 0: free.append("it can gain privileges")
interfaces = [name for _, name in socket.if_nameindex() if name != "lo"]
if interfaces: free.append("it has a network: " + ", ".join(interfaces))
try:
    open("/written", "w").close(); free.append("it writes to the root file system")
except OSError: pass
try:
    with open("/tmp/scratch", "wb") as file: file.write(bytes(1 << 20))
except OSError as error: free.append(f"it has no scratch space: {error}")
def limit(*paths):
    # What the first of these files says; None where the kernel has none of them.
    for path in paths:
        try: return open(path).read().strip()
        except OSError: pass
def large(text, most): return text is not None and (text == "max" or int(text) > most)
base = "/sys/fs/cgroup/"
if large(limit(base + "pids.max", base + "pids/pids.max"), 500):
    free.append("it may start 500 processes")
if large(limit(base + "memory.max", base + "memory/memory.limit_in_bytes"), 200_000_000):
    free.append("it may take 200 MB of memory")
if large(limit(base + "memory.swap.max", base + "memory/memory.memsw.limit_in_bytes"), 200_000_000):
    free.append("it may take more memory with swap")
print("; ".join(free))
"""
lines = [line.strip() for line in ANSWER.read_text().splitlines()]
options = [line for line in lines if line and not line.startswith("#")]
for option in options:
    # It is the reader's own machine: nothing that opens it further.
    if not option.startswith("--") or any(
        word in option for word in ("privileged", "volume", "mount", "device", "host", "cap-add")
    ):
        fail(f"{option} is no option that closes something")
done = subprocess.run(
    ["docker", "run", *options, "crucible/python:local", "python3", "-c", HOSTILE],
    capture_output=True,
    text=True,
    timeout=60,
)
expect(done.returncode == 0, f"docker says: {done.stderr.strip()}")
expect(done.stdout.strip() == "", done.stdout.strip())
