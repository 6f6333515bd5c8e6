# id: traces/neighbours-memory
# class: Lateral
# title: Look at a neighbour's command and files
# intent: The first program waits, the second one reads what it can of every other process
# success: The first one's secret is in the second one's answer
# source: MITRE ATT&CK T1057; proc(5)
# evidence: pair together
# host: confined
# seconds: 20
import time

keep = SECRET
open(f"{PLACE}", "w").write(SECRET)
finished()
time.sleep(18)  # until it is cancelled

# --- second program ---
import glob
import time

found = []
end = time.monotonic() + 8
while not found and time.monotonic() < end:
    for directory in glob.glob("/proc/[0-9]*/cwd/"):
        try:
            found.append(open(directory + PLACE).read())
        except OSError:
            pass
    time.sleep(0.2)
print(*found)
finished()
