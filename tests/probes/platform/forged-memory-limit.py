# id: platform/forged-memory-limit
# class: Integrity
# title: Pretend to be out of memory
# intent: Exits with 137, the code that the kernel's out-of-memory killer leaves behind
# success: The platform says that the memory limit ended it
# source: CWE-345; isolate(1), status XX
# evidence: result outcome=memory_exceeded
# host: safe
# contained-from: 2
finished()
os._exit(137)
