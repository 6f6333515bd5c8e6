# Print the version of the host's kernel.
import os

print(os.uname().nodename)
