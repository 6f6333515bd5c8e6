# Asks the kernel for a world in which this process is root.
import ctypes
import os

NEW_USER = 0x10000000
if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER) == 0:
    print("got it")
else:
    print("refused:", os.strerror(ctypes.get_errno()))
