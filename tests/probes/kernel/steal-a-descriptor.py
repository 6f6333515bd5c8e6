# id: kernel/steal-a-descriptor
# class: Lateral
# title: Take another process's open file
# intent: Calls pidfd_getfd() with a descriptor that is none
# success: The host's kernel looks at the arguments instead of refusing
# source: pidfd_getfd(2); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("pidfd_getfd", -1, 0, 0))
