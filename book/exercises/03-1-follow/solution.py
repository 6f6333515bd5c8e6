import json
import sys
import urllib.request

URL, ID = sys.argv[1:]
kind = None
with urllib.request.urlopen(f"{URL}/eval/{ID}/events") as stream:
    for line in stream:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind == "evaluation.progress":
            print(json.loads(value)["data"]["text"], end="", flush=True)
