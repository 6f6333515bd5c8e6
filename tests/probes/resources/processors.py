# id: resources/processors
# class: PeerDoS
# title: Use every processor there is
# intent: Computes in sixteen processes at once
# success: The host's counter shows more than one processor's worth of time
# source: CIS Docker Benchmark 5.12; OWASP Docker Security Cheat Sheet, rule 7
# evidence: grows cpu 125
# host: confined
# alone: yes
import signal
import time

children = []
end = time.monotonic() + 5
for _ in range(15):
    child = os.fork()
    if child == 0:
        os.setsid()  # a scheduler that is fair between sessions would give us the share of one
        while time.monotonic() < end:
            pass
        os._exit(0)
    children.append(child)
while time.monotonic() < end:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
finished()
