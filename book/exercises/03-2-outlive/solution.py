import subprocess
import sys

subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(60)", "CRUCIBLE_EXERCISE"],
    start_new_session=True,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
