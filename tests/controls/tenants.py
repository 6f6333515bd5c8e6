"""The tenants of the vulnerable server: the client of a request, and what belongs to whom.

See vulnerable_server.py for its purpose, and why it must never be used for anything else. Without keys in
its environment the server has one client.
"""

import json
import os
import uuid

from evaluation import Refused, evaluations, vulnerabilities

KEYS = [key for key in os.environ.get("CRUCIBLE_LADDER_KEYS", "").split(",") if key]
# The owners of evaluations and batches by their ids, the members of batches, and the responses to
# requests with an idempotency key.
owners, batches, responses = {}, {}, {}


def client(request):
    """The key of a request. None where there are no keys."""
    if not KEYS:
        return None
    sent = request.header("authorization")
    if len(sent) != 1 or sent[0].removeprefix("Bearer ") not in KEYS:
        raise Refused(401, "no valid key")
    return sent[0]


def check_owner(request, id):
    """Refuses a request for what belongs to another client."""
    if KEYS and owners.get(id) != client(request):
        raise Refused(404, "not found")


def once(request, make):
    """The response to the first request with this idempotency key."""
    key = request.header("idempotency-key")
    owner = "all" if "shared-idempotency" in vulnerabilities else client(request)
    if not key:
        return make(request)
    if (owner, key[0]) not in responses:
        responses[owner, key[0]] = make(request)
    return responses[owner, key[0]]


def batch(request, path, start):
    """Submits a batch, or reads or cancels one."""
    if (request.method, path) == ("POST", "/batches"):
        return once(request, lambda request: submit(request, start))
    id = path.split("?")[0].split("/")[2]
    if id not in batches:
        raise Refused(404, "not found")
    if "others-batches" not in vulnerabilities:
        check_owner(request, id)
    members = [evaluations[member] for member in batches[id]]
    if request.method == "DELETE":
        for member in members:
            if not member.outcome:
                member.cancel()
    if path.split("?")[0].endswith("/results"):
        return 200, {"items": [member.report() for member in members]}
    return 200, report(id)


def submit(request, start):
    """Starts every program of a batch."""
    id, owner = str(uuid.uuid4()), client(request)
    batches[id] = [start(program, owner) for program in json.loads(request.body)["evaluations"]]
    owners[id] = owner
    return 202, report(id)


def report(id):
    ended = all(evaluations[member].outcome for member in batches[id])
    return {"id": id, "status": "ended" if ended else "running", "evaluations": batches[id]}
