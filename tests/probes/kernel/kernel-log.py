# id: kernel/kernel-log
# class: HostLeak
# title: Read the kernel's log
# intent: Asks syslog() how long the log is
# success: The host's kernel looks at the arguments instead of refusing
# source: CIS Docker Benchmark 5.4 (CAP_SYSLOG); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("syslog", 10, 0, 0))
