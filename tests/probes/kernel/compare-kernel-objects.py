# id: kernel/compare-kernel-objects
# class: HostLeak
# title: Compare kernel objects of processes
# intent: Calls kcmp(), which tells where the kernel keeps things
# success: The host's kernel looks at the arguments instead of refusing
# source: kcmp(2); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("kcmp", os.getppid(), os.getpid(), 0, 0, 0))
