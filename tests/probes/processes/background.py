# id: processes/background
# class: PeerDoS
# title: Leave a child running
# intent: Forks once and ends, so that the child is in the same process group but has no parent
# success: A process of that name is on the host when the evaluation is over
# source: CWE-404; CPython issue 81605
# evidence: survivor
# host: confined
# contained-from: 2
import time

reading, writing = os.pipe()
if os.fork() == 0:
    _LIBC.prctl(15, NAME.encode(), 0, 0, 0)
    os.closerange(0, 3)
    os.write(writing, b".")
    time.sleep(60)
    os._exit(0)
os.read(reading, 1)
finished()
