# id: kernel/file-handles
# class: HostLeak
# title: Open files of the host by number
# intent: Calls open_by_handle_at(), as the exploit named shocker does, and name_to_handle_at()
# success: The host's kernel looks at the arguments instead of refusing
# source: Shocker (2014); CVE-2015-1334, its like in LXC
# evidence: kernel
# host: confined
answered(syscall("open_by_handle_at", -1, 1, 0), syscall("name_to_handle_at", -1, 1, 1, 1, 0))
