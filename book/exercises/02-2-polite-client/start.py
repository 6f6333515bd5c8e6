import json
import sys
import urllib.request

URL = sys.argv[1]


def submit(code):
    body = json.dumps({"code": code}).encode()
    request = urllib.request.Request(
        URL + "/eval", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["id"]


for number in range(8):
    submit(f"print({number})")
