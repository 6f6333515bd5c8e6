import os

print("gvisor" if os.uname().release == "4.4.0" else "host")
