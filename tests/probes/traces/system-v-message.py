# id: traces/system-v-message
# class: Lateral
# title: Leave a message in a System V queue
# intent: The first program puts a message into a queue that outlives it, the second one takes it out
# success: The first one's secret is in the second one's answer
# source: msgget(2); CIS Docker Benchmark 5.17
# evidence: pair after
# host: confined
queue = _LIBC.msgget(NUMBER, 0o1666)
message = (1).to_bytes(8, "little") + SECRET.encode()
if queue < 0 or _LIBC.msgsnd(queue, message, len(SECRET), 0) < 0:
    stopped(OSError(ctypes.get_errno(), "msgsnd"))
else:
    finished()

# --- second program ---
queue = _LIBC.msgget(NUMBER, 0o666)
message = ctypes.create_string_buffer(200)
if queue < 0 or _LIBC.msgrcv(queue, message, 192, 0, 0o4000) < 0:
    stopped(OSError(ctypes.get_errno(), "msgrcv"))
else:
    print(message.raw[8:].rstrip(b"\0").decode())
    _LIBC.msgctl(queue, 0, None)
    finished()
