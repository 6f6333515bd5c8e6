# id: kernel/personality
# class: InternalEsc
# title: Make all memory executable
# intent: Calls personality(READ_IMPLIES_EXEC)
# success: The host's kernel looks at the arguments instead of refusing
# source: personality(2); Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("personality", 0x0400000))
