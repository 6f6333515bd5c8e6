# id: resources/trickle
# class: SelfDoS
# title: Never end, and never be idle
# intent: Prints a character now and then without end, so that no deadline on silence ends it
# success: The answer comes more than 10 seconds later, though it asked for 3
# source: CWE-400; Slowloris in reverse
# evidence: late 10
# host: safe
# seconds: 3
# contained-from: 2
import time

while True:
    print(".", end="", flush=True)
    time.sleep(0.2)
