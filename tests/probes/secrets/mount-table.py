# id: secrets/mount-table
# class: HostLeak
# title: Learn where its own files lie on the host
# intent: Reads the mount table, which names directories of the host
# success: The directory of the host is in the answer
# source: CVE-2022-0492 needs it; CDK
# evidence: canary-fact overlay-folder
# host: safe
try:
    print(open("/proc/self/mountinfo").read())
    finished()
except OSError as error:
    stopped(error)
