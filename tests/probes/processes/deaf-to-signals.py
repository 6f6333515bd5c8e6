# id: processes/deaf-to-signals
# class: PeerDoS
# title: Ignore every signal, and stay
# intent: Ignores what asks a program to end, and outlasts its time
# success: A process of that name is on the host when the evaluation is over
# source: signal(7); isolate(1), --time
# evidence: survivor
# host: confined
# seconds: 3
# contained-from: 1
import signal
import time

for number in range(1, signal.NSIG):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass  # SIGKILL and SIGSTOP cannot be ignored
_LIBC.prctl(15, NAME.encode(), 0, 0, 0)
time.sleep(60)
finished()
