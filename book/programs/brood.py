# Starts a child and then never ends.
import subprocess
import time

child = subprocess.Popen(["sleep", "600"])
print("started a child, pid", child.pid, flush=True)
time.sleep(600)
