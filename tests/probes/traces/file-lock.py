# id: traces/file-lock
# class: Lateral
# title: Signal to a neighbour by locking a file
# intent: The first program locks bytes of a file of the system, one for each bit; the second one asks which are locked
# success: The first one's secret is in the second one's answer
# source: isolate 2.5; fcntl(2), F_GETLK
# evidence: pair together
# host: confined
# seconds: 20
import fcntl
import struct
import time

bits = "".join(f"{byte:08b}" for byte in SECRET.encode())
try:
    file = open("/usr/bin/python3", "rb")
    for at, bit in enumerate(bits):
        if bit == "1":
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 1 << 20 | at)
    finished()
    time.sleep(18)  # until it is cancelled
except OSError as error:
    stopped(error)

# --- second program ---
import fcntl
import struct
import time

file = open("/usr/bin/python3", "rb")
bits = ""
end = time.monotonic() + 8
try:
    while "1" not in bits and time.monotonic() < end:
        time.sleep(0.5)
        bits = ""
        for at in range(64 * 8):
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1 << 20 | at, 1, 0)
            kind = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0]
            bits += "0" if kind == fcntl.F_UNLCK else "1"
    told = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    print(told.rstrip(b"\0").decode(errors="replace"))
    finished()
except OSError as error:
    stopped(error)
