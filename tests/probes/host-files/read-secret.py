# id: host-files/read-secret
# class: HostLeak
# title: Read a file of the host
# intent: Opens a file of the host that everybody there can read
# success: The random text in that file is in the answer
# source: NIST SP 800-190, 3.4.3; CIS Docker Benchmark 5.6
# evidence: canary-file
# host: safe
try:
    print(open(HOST_FILE).read())
    finished()
except OSError as error:
    stopped(error)
