# id: kernel/device-node
# class: Escape
# title: Make a device of its own
# intent: Calls mknodat() for a block device
# success: The host's kernel looks at the arguments instead of refusing
# source: CIS Docker Benchmark 5.4 (CAP_MKNOD); gVisor CVE-2026-96812
# evidence: kernel
# host: confined
answered(syscall("mknodat", -100, ctypes.c_char_p(f"/tmp/device-{os.getpid()}".encode()), 0o060600, os.makedev(8, 0)))
