# id: kernel/other-namespaces
# class: Escape
# title: Make namespaces of its own
# intent: Calls unshare() for mounts, network, processes, names and IPC
# success: The host's kernel looks at the arguments instead of refusing
# source: CIS Docker Benchmark 5.16; namespaces(7)
# evidence: kernel
# host: confined
answered(*[syscall("unshare", flag) for flag in (0x20000, 0x40000000, 0x20000000, 0x4000000, 0x8000000)])
