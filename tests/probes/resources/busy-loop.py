# id: resources/busy-loop
# class: SelfDoS
# title: Never end
# intent: Counts without end, with a time limit of three seconds
# success: The answer comes more than 10 seconds later
# source: isolate(1), --wall-time; OWASP API4:2023
# evidence: late 10
# host: safe
# seconds: 3
# contained-from: 2
number = 0
while True:
    number += 1
