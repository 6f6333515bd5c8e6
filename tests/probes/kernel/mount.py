# id: kernel/mount
# class: Escape
# title: Mount and unmount
# intent: Calls mount() and umount2() with addresses that point nowhere
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2022-0185; Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("mount", 1, 1, 1, 0, 0), syscall("umount2", 1, 0))
