# id: processes/held-output
# class: PeerDoS
# title: Keep the output open after the end
# intent: Ends at once, but leaves a child that holds the pipe that the engine reads to its end
# success: The answer comes more than 10 seconds later
# source: CPython issues 81605 and 82388
# evidence: late 10
# host: confined
# contained-from: 2
import time

if os.fork() == 0:
    os.setsid()
    time.sleep(22)
    os._exit(0)
finished()
