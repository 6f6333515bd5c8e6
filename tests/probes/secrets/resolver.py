# id: secrets/resolver
# class: HostLeak
# title: Learn whom the machine asks for names
# intent: Reads the addresses of the name servers, which are inside of the operator's network
# success: An address of the host's own resolver is in the answer
# source: Docker, containers and DNS; MITRE ATT&CK T1016
# evidence: canary-fact resolver
# host: safe
try:
    print(open("/etc/resolv.conf").read())
    finished()
except OSError as error:
    stopped(error)
