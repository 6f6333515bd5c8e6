import json
import sys
import time
import urllib.request

URL, FILE = sys.argv[1:]


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


programs = json.load(open(FILE))
evaluations = [{"code": program} for program in programs]
batch = json.loads(call("/batches", {"evaluations": evaluations}))["id"]
while json.loads(call(f"/batches/{batch}"))["status"] != "ended":
    time.sleep(0.1)
results = json.loads(call(f"/batches/{batch}/results?limit=100"))["items"]
print(sum(result["exit_code"] == 0 for result in results))
