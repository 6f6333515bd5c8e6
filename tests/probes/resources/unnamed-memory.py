# id: resources/unnamed-memory
# class: PeerDoS
# title: Hide memory in files without names
# intent: Fills memory files that lie on no file system, so that no size of a file system holds them
# success: The host's counter shows more than the limit by far
# source: memfd_create(2); MITRE ATT&CK T1620
# evidence: grows memory 400
# host: confined
# alone: yes
import time

block = b"x" * (1 << 20)
hoard = []
try:
    for _ in range(AMOUNT // 30):
        hoard.append(os.memfd_create("hoard"))
        for _ in range(30):
            os.write(hoard[-1], block)
    time.sleep(1.5)
    finished()
except OSError as error:
    time.sleep(1.5)  # to be seen
    stopped(error)
