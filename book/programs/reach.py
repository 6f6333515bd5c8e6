# Tries to reach the first process of its sandbox.
import ctypes
import os

for what, attempt in {
    "kill it": lambda: os.kill(1, 9),
    "stop it": lambda: os.kill(1, 19),
    "trace it": lambda: ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 or 1 / 0,
    "read its memory": lambda: open("/proc/1/mem", "rb"),
    "use its socket": lambda: open("/proc/1/fd/0", "r+b"),
    "become its user": lambda: os.setuid(0),
}.items():
    try:
        attempt()
        print(f"{what}: yes")
    except (OSError, ZeroDivisionError):
        print(f"{what}: no")
