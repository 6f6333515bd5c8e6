# Starts a child and then never ends.
import subprocess
import sys
import time

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("started a child, pid", child.pid, flush=True)
time.sleep(600)
