# id: resources/threads
# class: PeerDoS
# title: Start hundreds of threads
# intent: Starts as many threads as it is let, and keeps all of them
# success: The host's counter shows more threads than the limit by far
# source: CIS Docker Benchmark 5.29; pids cgroup controller
# evidence: grows processes 600
# host: confined
# alone: yes
import threading
import time

try:
    threading.stack_size(64 << 10)
    for _ in range(AMOUNT):
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
    time.sleep(1.5)
    finished()
except RuntimeError:
    time.sleep(1.5)  # to be seen
    stopped(OSError(errno.EAGAIN, "can't start new thread"))
sys.stdout.flush()
os._exit(0)
