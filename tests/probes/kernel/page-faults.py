# id: kernel/page-faults
# class: Escape
# title: Hold the kernel up at a page fault
# intent: Calls userfaultfd(), which makes races in the kernel easy to win
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2021-22555, its exploit; userfaultfd(2)
# evidence: kernel
# host: confined
answered(syscall("userfaultfd", 0), syscall("userfaultfd", 1))
