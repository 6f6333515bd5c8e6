# id: traces/posix-queue
# class: Lateral
# title: Leave a message in a POSIX queue
# intent: The first program puts a message into a named queue, the second one takes it out
# success: The first one's secret is in the second one's answer
# source: mq_overview(7); CIS Docker Benchmark 5.17
# evidence: pair after
# host: confined
class Sizes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("flags", "most", "size", "now")]


sizes = Sizes(0, 1, 256, 0)
name = f"/{PLACE}".encode()
queue = _LIBC.mq_open(name, os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK, 0o666, ctypes.byref(sizes))
if queue < 0 or _LIBC.mq_send(queue, SECRET.encode(), len(SECRET), 0) < 0:
    stopped(OSError(ctypes.get_errno(), "mq_send"))
else:
    finished()

# --- second program ---
name = f"/{PLACE}".encode()
queue = _LIBC.mq_open(name, os.O_RDONLY | os.O_NONBLOCK)
message = ctypes.create_string_buffer(256)
if queue < 0 or _LIBC.mq_receive(queue, message, 256, None) < 0:
    stopped(OSError(ctypes.get_errno(), "mq_receive"))
else:
    print(message.value.decode())
    _LIBC.mq_unlink(name)
    finished()
