"""The authoriser of the HTTP API: lets a request through whose API key is known.

It is the outer of two checks. The API itself looks the key up again, with its scopes, limits and expiry; this one keeps
requests without a key from starting the API at all. It has digests only: {"NAME": "SHA-256 of the key"}.
"""

import hashlib
import hmac
import json
import os
import time

import boto3

CACHE_LIFETIME_SECONDS = 60

_cached = {"at": None, "digests": {}}


def digests():
    """The digests by name. A parameter that cannot be read is an error, and an error is a refusal."""
    now = time.monotonic()
    if _cached["at"] is None or now - _cached["at"] > CACHE_LIFETIME_SECONDS:
        answer = boto3.client("ssm").get_parameter(Name=os.environ["KEYS_PARAMETER"], WithDecryption=True)
        _cached["digests"] = json.loads(answer["Parameter"]["Value"])
        _cached["at"] = now
    return _cached["digests"]


def name_of(authorization):
    """The name of the key in a header, or None. Every digest is compared, in constant time."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("crk_"):
        return None
    digest = hashlib.sha256(key.encode()).hexdigest()
    found = None
    for name, known in digests().items():
        if hmac.compare_digest(digest, known.lower()):
            found = name
    return found


def handler(event, _context):
    """Answers an event of API Gateway, payload format 2.0, with a simple response."""
    # API Gateway gives names of headers in small letters.
    name = name_of(event.get("headers", {}).get("authorization", ""))
    if name is None:
        return {"isAuthorized": False}
    return {"isAuthorized": True, "context": {"key": name}}
