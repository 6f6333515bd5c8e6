# id: kernel/keyrings
# class: Escape
# title: Reach the kernel's keyrings
# intent: Calls keyctl(), add_key() and request_key()
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2016-0728; isolate 2.4, keyrings shared between boxes
# evidence: kernel
# host: confined
answered(syscall("keyctl", 0, -3, 0), syscall("add_key", 1, 1, 0, 0, -3), syscall("request_key", 1, 1, 0, -3))
