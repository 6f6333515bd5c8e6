import os

print(os.uname().release)
