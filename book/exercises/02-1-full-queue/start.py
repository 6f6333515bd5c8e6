# Fill the queue of the server at sys.argv[1].
import json
import sys
import urllib.request


def submit(code):
    body = json.dumps({"code": code}).encode()
    request = urllib.request.Request(
        sys.argv[1] + "/eval", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).read()


submit("print(1)")
