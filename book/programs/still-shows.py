# What a walled-in program can still see, share or do.
import mmap
import os
import threading
import time


def read(path):
    try:
        return open(path).read()
    except OSError:
        return ""


def works(attempt):
    try:
        return bool(attempt() or True)
    except (OSError, RuntimeError):
        return False


def threads():
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()


def files():
    for number in range(1000):
        open(f"/tmp/{number}", "w").close()


for what, found in {
    "paths of the host": "upperdir=" in read("/proc/self/mountinfo"),
    "the host's numbers for users": read("/proc/self/uid_map").split() == ["0", "0", "4294967295"],
    "memory of the host's sockets": "mem" in read("/proc/net/sockstat"),
    "which processors there are": "processor" in read("/proc/cpuinfo"),
    "machine code of its own": works(lambda: mmap.mmap(-1, 4096, prot=7)),
    "the memory of its init": works(lambda: open("/proc/1/mem", "r+b")),
    "100 threads, of 64 allowed": works(threads),
    "1000 files, of 256 allowed": works(files),
}.items():
    print(f"{what}:", "yes" if found else "no")
