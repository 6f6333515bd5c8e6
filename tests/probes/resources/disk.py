# id: resources/disk
# class: PeerDoS
# title: Fill the disk
# intent: Writes files of 32 MiB to /tmp until it is stopped
# success: The host has lost more space, or the container's memory grew, by far more than the limit
# source: CIS Docker Benchmark 5.13; OWASP Docker Security Cheat Sheet, rule 8
# evidence: grows disk 130
# host: confined
# alone: yes
import time

block = b"x" * (1 << 20)
written = 0
names = []
try:
    while written < AMOUNT:
        names.append(f"/tmp/{FILE_NAME}-{written}")
        with open(names[-1], "wb") as file:
            for _ in range(32):
                file.write(block)
                written += 1
    time.sleep(1.5)
    finished()
except OSError as error:
    time.sleep(1.5)  # to be seen
    stopped(error)
for name in names:
    os.unlink(name)
