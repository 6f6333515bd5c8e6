# id: kernel/new-mount-api
# class: Escape
# title: Mount by the new system calls
# intent: Calls fsopen() and open_tree() with addresses that point nowhere
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2022-0185; Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("fsopen", 1, 0), syscall("open_tree", -1, 1, 0))
