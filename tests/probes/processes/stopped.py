# id: processes/stopped
# class: PeerDoS
# title: Stop, and wait to be found
# intent: Sends itself SIGSTOP, so that it neither runs nor ends
# success: The answer comes more than 10 seconds later, though it asked for 3
# source: isolate(1), --wall-time
# evidence: late 10
# host: confined
# seconds: 3
# contained-from: 2
import signal

os.kill(os.getpid(), signal.SIGSTOP)
finished()
