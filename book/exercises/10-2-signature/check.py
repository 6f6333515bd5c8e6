import base64
import hmac
import importlib.util
import os
import time

from exercise import ANSWER, expect

spec = importlib.util.spec_from_file_location("answer", ANSWER)
answer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(answer)

KEY, OLD = os.urandom(24), os.urandom(24)
BODY = b'{"type": "evaluation.completed"}'


def sign(key, body=BODY, age=0, id="msg_1", signed_id=None):
    timestamp = str(int(time.time()) - age)
    message = f"{signed_id or id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, message, "sha256").digest()).decode()
    return {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": "v1," + signature}


def verdict(headers, body=BODY):
    secret = "whsec_" + base64.b64encode(KEY).decode()
    return bool(answer.verify(secret, headers, body))


expect(verdict(sign(KEY)), "a good signature is refused")
rotated = sign(KEY)
rotated["webhook-signature"] = sign(OLD)["webhook-signature"] + " " + rotated["webhook-signature"]
expect(verdict(rotated), "a second signature beside that of an old secret is refused")
expect(not verdict(sign(OLD)), "a signature with another secret is accepted")
expect(not verdict(sign(KEY), BODY + b" "), "a changed body is accepted")
expect(not verdict(sign(KEY, age=3600)), "a webhook of an hour ago is accepted: it can be sent again")
expect(not verdict(sign(KEY, signed_id="msg_2")), "the id is not signed")
late = {**sign(KEY, age=3600), "webhook-timestamp": str(int(time.time()))}
expect(not verdict(late), "the timestamp is not signed")
expect(not verdict({}), "no signature at all is accepted")
