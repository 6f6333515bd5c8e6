# id: kernel/bpf
# class: Escape
# title: Load a program into the kernel
# intent: Calls bpf(BPF_PROG_LOAD) with nothing to load
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2021-3490; Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("bpf", 5, 0, 0))
