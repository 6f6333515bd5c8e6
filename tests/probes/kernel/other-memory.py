# id: kernel/other-memory
# class: Escape
# title: Read and write another process's memory
# intent: Calls process_vm_readv() and process_vm_writev() on its parent
# success: The host's kernel looks at the arguments instead of refusing
# source: process_vm_readv(2); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("process_vm_readv", os.getppid(), 1, 1, 1, 1, 0), syscall("process_vm_writev", os.getppid(), 1, 1, 1, 1, 0))
