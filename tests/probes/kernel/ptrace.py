# id: kernel/ptrace
# class: Escape
# title: Trace a process
# intent: Calls ptrace(PTRACE_TRACEME)
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2019-13272; moby issue 38137
# evidence: kernel
# host: confined

# In a child: a traced process stops at its next signal.
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, syscall("ptrace", 0, 0, 0, 0).encode())
    os._exit(0)
os.wait()
answered(os.read(reader, 100).decode())
