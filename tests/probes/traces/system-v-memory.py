# id: traces/system-v-memory
# class: Lateral
# title: Leave a message in System V memory
# intent: The first program fills a segment of shared memory that outlives it, the second one attaches it
# success: The first one's secret is in the second one's answer
# source: shmget(2); CIS Docker Benchmark 5.17
# evidence: pair after
# host: confined
_LIBC.shmat.restype = ctypes.c_void_p
segment = _LIBC.shmget(NUMBER, 4096, 0o1666)
if segment < 0:
    stopped(OSError(ctypes.get_errno(), "shmget"))
else:
    address = _LIBC.shmat(segment, None, 0)
    ctypes.memmove(address, SECRET.encode() + b"\0", len(SECRET) + 1)
    finished()

# --- second program ---
_LIBC.shmat.restype = ctypes.c_void_p
segment = _LIBC.shmget(NUMBER, 4096, 0o666)
if segment < 0:
    stopped(OSError(ctypes.get_errno(), "shmget"))
else:
    print(ctypes.string_at(_LIBC.shmat(segment, None, 0)).decode())
    _LIBC.shmctl(segment, 0, None)
    finished()
