# id: kernel/set-the-clock
# class: HostDoS
# title: Set the machine's clock
# intent: Calls settimeofday(), clock_settime() and adjtimex() with addresses that point nowhere
# success: The host's kernel looks at the arguments instead of refusing
# source: CIS Docker Benchmark 5.4 (CAP_SYS_TIME)
# evidence: kernel
# host: confined
answered(syscall("settimeofday", 1, 0), syscall("clock_settime", 0, 1), syscall("adjtimex", 1))
