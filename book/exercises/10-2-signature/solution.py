import base64
import hmac
import time

TOLERANCE_SECONDS = 300


def verify(secret, headers, body):
    """Whether `body` (bytes) with `headers` (names in lower case) was signed with `secret`."""
    try:
        id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        signatures = headers["webhook-signature"].split(" ")
        seconds = int(timestamp)
    except (KeyError, ValueError):
        return False
    if abs(time.time() - seconds) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message = f"{id}.{timestamp}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, message, "sha256").digest()).decode()
    return any(hmac.compare_digest(right, one) for one in signatures)
