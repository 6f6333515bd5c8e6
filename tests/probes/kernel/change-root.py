# id: kernel/change-root
# class: Escape
# title: Move its own root
# intent: Calls chroot() and pivot_root() with addresses that point nowhere
# success: The host's kernel looks at the arguments instead of refusing
# source: chroot(2); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("chroot", 1), syscall("pivot_root", 1, 1))
