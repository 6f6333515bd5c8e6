import sys
import urllib.request


def seen(url):
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, str(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, str(error.headers), error.read()


one, other, *paths = sys.argv[1:]
for path in paths:
    if seen(one + path) != seen(other + path):
        print(path)
