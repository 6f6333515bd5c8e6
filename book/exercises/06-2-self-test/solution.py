import json
import sys
import urllib.request

request = urllib.request.Request(
    sys.argv[1] + "/self-test", b"", {"Prefer": "wait=60"}, method="POST"
)
with urllib.request.urlopen(request) as response:
    for check in json.load(response)["checks"]:
        print(f"{check['component']}: {'passed' if check['passed'] else 'FAILED'}")
