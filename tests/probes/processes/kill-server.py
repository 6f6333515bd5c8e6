# id: processes/kill-server
# class: HostDoS
# title: Kill the server
# intent: Sends SIGKILL to the process that runs the programs, by its number and as its own parent
# success: The server no longer answers
# source: CIS Docker Benchmark 5.16; MITRE ATLAS AML.T0107
# evidence: server-dies
# host: confined
# alone: yes
import signal
import time

last = None
for number in (os.getppid(), SERVER_PID):
    # In a container the parent of the first process is 0, which would be our own group.
    if number > 1:
        try:
            os.kill(number, signal.SIGKILL)
        except OSError as error:
            last = error
time.sleep(1)
stopped(last) if last else finished()
