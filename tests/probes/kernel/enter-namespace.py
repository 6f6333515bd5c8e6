# id: kernel/enter-namespace
# class: Escape
# title: Enter somebody else's namespace
# intent: Calls setns() with a descriptor that is none
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2024-21626; Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("setns", -1, 0))
