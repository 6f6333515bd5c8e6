# id: resources/shared-memory
# class: PeerDoS
# title: Fill the shared memory
# intent: Writes to /dev/shm, which is memory that no limit on a process's own counts
# success: The host's counter shows more than the limit by far
# source: CIS Docker Benchmark 5.11; snekbox, shm tests
# evidence: grows memory 320
# host: confined
# alone: yes
import time

name = f"/dev/shm/{FILE_NAME}"
block = b"x" * (1 << 20)
try:
    # In pieces: a limit on the size of one file would stop a single one.
    for piece in range(AMOUNT // 30):
        with open(f"{name}-{piece}", "wb") as file:
            for _ in range(30):
                file.write(block)
    time.sleep(1.5)
    finished()
except OSError as error:
    time.sleep(1.5)  # to be seen
    stopped(error)
for piece in range(AMOUNT // 30):
    if os.path.exists(f"{name}-{piece}"):
        os.unlink(f"{name}-{piece}")
