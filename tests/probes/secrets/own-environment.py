# id: secrets/own-environment
# class: HostLeak
# title: Read secrets out of the environment
# intent: Prints its own environment, which a careless server passes on to every program
# success: The secret that the server was started with is in the answer
# source: OWASP Secrets Management Cheat Sheet; CIS Docker Benchmark 4.10
# evidence: canary-env
# host: safe
print(dict(os.environ))
finished()
