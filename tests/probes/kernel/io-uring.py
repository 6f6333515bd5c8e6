# id: kernel/io-uring
# class: Escape
# title: Set up an io_uring
# intent: Calls io_uring_setup without parameters
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2022-29582; moby issue 46762
# evidence: kernel
# host: confined
answered(syscall("io_uring_setup", 1, 0))
