# id: kernel/host-name
# class: Integrity
# title: Rename the machine
# intent: Calls sethostname() with a name that is too long
# success: The host's kernel looks at the arguments instead of refusing
# source: sethostname(2); CIS Docker Benchmark 5.21
# evidence: kernel
# host: confined
answered(syscall("sethostname", 1, 1 << 20))
