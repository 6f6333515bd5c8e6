# id: resources/memory
# class: PeerDoS
# title: Take more memory than it is given
# intent: Asks for memory and writes to every page of it
# success: The host's counter shows more than the limit by far
# source: CIS Docker Benchmark 5.11; OWASP Docker Security Cheat Sheet, rule 7
# evidence: grows memory 400
# host: confined
# alone: yes
import mmap
import time

hoard = []
try:
    # Shared memory is counted by control groups, and not by the limit on a process's data.
    for _ in range(AMOUNT // 20):
        piece = mmap.mmap(-1, 20 << 20)
        for page in range(0, 20 << 20, 4096):
            piece[page] = 1
        hoard.append(piece)
    time.sleep(1.5)
    finished()
except (OSError, MemoryError) as error:
    time.sleep(1.5)  # to be seen
    stopped(error)
