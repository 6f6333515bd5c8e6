# Print the operations of the server at sys.argv[1] that can be answered 409.
import json
import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1] + "/openapi.json") as response:
    contract = json.load(response)
for path in sorted(contract["paths"]):
    print("GET", path)
