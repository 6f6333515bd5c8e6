# id: processes/moving-target
# class: PeerDoS
# title: Outrun a killer with a list of processes
# intent: Forks, lets the parent end and does so again, twenty times a second, in its own session
# success: A process of that name is on the host when the evaluation is over
# source: OWASP Docker Security Cheat Sheet, rule 7; systemd, KillMode=control-group
# evidence: survivor
# host: confined
import time

reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.closerange(0, 3)
    _LIBC.prctl(15, NAME.encode(), 0, 0, 0)
    os.write(writing, b".")
    os.close(writing)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
        time.sleep(0.05)
    os._exit(0)
os.read(reading, 1)
time.sleep(0.2)
finished()
