# Print the output of evaluation sys.argv[2] of the server sys.argv[1] while it runs.
import json
import sys
import time
import urllib.request

URL, ID = sys.argv[1:]
while True:
    with urllib.request.urlopen(f"{URL}/eval/{ID}") as response:
        evaluation = json.load(response)
    if evaluation["outcome"] is not None:
        print(evaluation["stdout"]["text"], end="", flush=True)
        break
    time.sleep(0.1)
