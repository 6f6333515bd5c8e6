# id: kernel/user-namespace
# class: Escape
# title: Become root in a namespace of its own
# intent: Calls unshare(CLONE_NEWUSER), the first step of most kernel exploits
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2022-0185; CVE-2023-32233
# evidence: kernel
# host: confined
answered(syscall("unshare", 0x10000000))
