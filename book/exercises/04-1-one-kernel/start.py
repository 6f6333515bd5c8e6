# Print the release of the host's kernel, as `uname -r` does.
import os

print(os.uname().nodename)
