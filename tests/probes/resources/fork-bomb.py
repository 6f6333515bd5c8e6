# id: resources/fork-bomb
# class: PeerDoS
# title: Start hundreds of processes
# intent: Forks as often as it is let, and keeps all of them
# success: The host's counter shows more processes than the limit by far
# source: CIS Docker Benchmark 5.29; OWASP Docker Security Cheat Sheet, rule 7
# evidence: grows processes 720
# host: confined
# alone: yes
import signal
import time

children = []
try:
    for _ in range(AMOUNT):
        child = os.fork()
        if child == 0:
            time.sleep(20)
            os._exit(0)
        children.append(child)
    time.sleep(1.5)
    finished()
except OSError as error:
    time.sleep(1.5)  # to be seen
    stopped(error)
for child in children:
    os.kill(child, signal.SIGKILL)
