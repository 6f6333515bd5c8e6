import json
import sys
import urllib.request

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}

with urllib.request.urlopen(sys.argv[1] + "/openapi.json") as response:
    contract = json.load(response)
found = [
    f"{method.upper()} {path}"
    for path, operations in contract["paths"].items()
    for method, operation in operations.items()
    if method in METHODS and "409" in operation["responses"]
]
print("\n".join(sorted(found)))
