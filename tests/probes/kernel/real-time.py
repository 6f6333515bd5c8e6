# id: kernel/real-time
# class: PeerDoS
# title: Run before everybody else
# intent: Asks for the real-time scheduler with the highest priority
# success: The host's kernel looks at the arguments instead of refusing
# source: sched(7); CIS Docker Benchmark 5.4 (CAP_SYS_NICE)
# evidence: kernel
# host: confined
answered(syscall("sched_setscheduler", 0, 1, ctypes.byref(ctypes.c_int(99))))
