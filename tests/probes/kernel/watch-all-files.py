# id: kernel/watch-all-files
# class: HostLeak
# title: Watch every file of a mount
# intent: Calls fanotify_init()
# success: The host's kernel looks at the arguments instead of refusing
# source: fanotify(7); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("fanotify_init", 0, 0))
