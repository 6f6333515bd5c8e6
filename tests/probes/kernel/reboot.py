# id: kernel/reboot
# class: HostDoS
# title: Reboot the machine
# intent: Calls reboot() without the numbers that it wants to see
# success: The host's kernel looks at the arguments instead of refusing
# source: CIS Docker Benchmark 5.4 (CAP_SYS_BOOT)
# evidence: kernel
# host: confined
answered(syscall("reboot", 0, 0, 0, 0))
