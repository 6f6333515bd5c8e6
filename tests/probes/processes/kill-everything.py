# id: processes/kill-everything
# class: HostDoS
# title: Kill every process there is
# intent: Sends SIGKILL to all processes that it may send a signal to
# success: The server no longer answers
# source: kill(2); CIS Docker Benchmark 5.16
# evidence: server-dies
# host: confined
# alone: yes
import signal
import time

try:
    os.kill(-1, signal.SIGKILL)
    time.sleep(1)
    finished()
except OSError as error:
    stopped(error)
