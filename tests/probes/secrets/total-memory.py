# id: secrets/total-memory
# class: HostLeak
# title: Learn how large the machine is
# intent: Reads how much memory there is
# success: The host's own number is in the answer
# source: MITRE ATLAS AML.T0097; lxcfs, which exists for this
# evidence: canary-fact memory-total
# host: safe
try:
    print(open("/proc/meminfo").read(200))
except OSError:
    pass  # the system call is asked too
print(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024)
finished()
