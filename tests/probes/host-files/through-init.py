# id: host-files/through-init
# class: HostLeak
# title: Look through the first process's root
# intent: Reads a file of the host through /proc/1/root, which leads to that process's file system
# success: The random text in that file is in the answer
# source: deepce; NIST SP 800-190, 4.4
# evidence: canary-file
# host: safe
try:
    print(open("/proc/1/root" + HOST_FILE).read())
    finished()
except OSError as error:
    stopped(error)
