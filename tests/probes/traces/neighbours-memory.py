# id: traces/neighbours-memory
# class: Lateral
# title: Look at a neighbour's command and files
# intent: The first program waits, the second one reads what it can of every other process
# success: The first one's secret is in the second one's answer
# source: MITRE ATT&CK T1057; proc(5)
# evidence: pair together
# host: confined
# seconds: 10
import time

keep = SECRET
open(f"{PLACE}", "w").write(SECRET)
time.sleep(4)
finished()

# --- second program ---
import glob
import time

time.sleep(1.5)
for folder in glob.glob("/proc/[0-9]*/cwd/"):
    try:
        print(open(folder + PLACE).read())
    except OSError:
        pass
finished()
