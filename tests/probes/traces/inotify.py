# id: traces/inotify
# class: Lateral
# title: Send a message by opening files
# intent: The second program watches files that the first one opens in the order of its bits
# success: The first one's secret is in the second one's answer
# source: inotify(7); isolate's notes on what two boxes share
# evidence: pair together
# host: confined
# seconds: 20
import os.path
import time

directory = os.path.dirname(os.__file__)
zero, one, tick, start = (
    os.path.join(directory, name)
    for name in ("antigravity.py", "nturl2path.py", "tabnanny.py", "this.py")
)
bits = "".join(f"{int(digit, 16):04b}" for digit in SECRET)
finished()
try:
    while True:  # until it is cancelled
        open(start).close()
        for bit in bits:
            open(one if bit == "1" else zero).close()
            open(tick).close()  # or two bits that are the same would be one event
        time.sleep(0.5)
except OSError as error:
    stopped(error)

# --- second program ---
import os.path
import select
import struct
import time

OPENED = 0x20
directory = os.path.dirname(os.__file__)
names = ("antigravity.py", "nturl2path.py", "tabnanny.py", "this.py")
watch = _LIBC.inotify_init()
if watch < 0:
    stopped(OSError(ctypes.get_errno(), "inotify_init"))
    sys.exit()
files = [_LIBC.inotify_add_watch(watch, os.path.join(directory, name).encode(), OPENED) for name in names]
if min(files) < 0:
    stopped(OSError(ctypes.get_errno(), "inotify_add_watch"))
    sys.exit()
seen = ""
end = time.monotonic() + 8
while time.monotonic() < end:
    if select.select([watch], [], [], 0.2)[0]:
        events = os.read(watch, 1 << 16)
        # Nothing is behind an event of a file, but for its length of 0.
        for at in range(0, len(events), 16):
            file = struct.unpack_from("iIII", events, at)[0]
            if file in files:
                seen += "01-s"[files.index(file)]
for message in seen.replace("-", "").split("s"):
    if len(message) == 128:
        print(f"{int(message, 2):032x}")
        break
finished()
