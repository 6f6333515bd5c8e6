import json
import sys
import urllib.error
import urllib.request


def seen(url):
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        body = json.loads(error.read())
        body.pop("request_id", None)  # each response has its own
        return error.code, body


one, other, *paths = sys.argv[1:]
for path in paths:
    if seen(one + path) != seen(other + path):
        print(path)
