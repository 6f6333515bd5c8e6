# id: processes/freeze-server
# class: HostDoS
# title: Freeze the server
# intent: Sends SIGSTOP to the process that runs the programs, which leaves it there and dead
# success: The server no longer answers
# source: CIS Docker Benchmark 5.16; MITRE ATLAS AML.T0107
# evidence: server-dies
# host: confined
# alone: yes
import signal
import time

try:
    os.kill(SERVER_PID, signal.SIGSTOP)
    time.sleep(1)
    finished()
except OSError as error:
    stopped(error)
