# id: kernel/swap-and-accounting
# class: HostDoS
# title: Swap, accounting and quotas
# intent: Calls swapon(), acct() and quotactl() with addresses that point nowhere
# success: The host's kernel looks at the arguments instead of refusing
# source: Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("swapon", 1, 0), syscall("acct", 1), syscall("quotactl", -1, 1, 0, 0))
