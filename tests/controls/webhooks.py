"""The webhooks of the vulnerable server.

See vulnerable_server.py for its purpose, and why it must never be used for anything else. Like the server of a stage it
allows receivers in the networks that CRUCIBLE_WEBHOOK_ALLOW names, and no other special address.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
import uuid
from urllib.parse import urljoin, urlsplit

from evaluation import Refused, vulnerabilities

ALLOWED = [ipaddress.ip_network(text) for text in os.environ.get("CRUCIBLE_WEBHOOK_ALLOW", "").split(",") if text]
ONE_SECRET = os.urandom(32)
webhooks = {}


def permit(text):
    """Refuses a special address."""
    address = ipaddress.ip_address(text.split("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if "webhooks-anywhere" in vulnerabilities or any(address in network for network in ALLOWED):
        return
    if not address.is_global:
        raise Refused(400, "a special address")


def check(url):
    """The parts of a URL, whose host is permitted if it is an address in any notation."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        raise Refused(400, "not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise Refused(400, "not a URL of a receiver")
    try:
        permit(socket.inet_ntoa(socket.inet_aton(parts.hostname)))
    except OSError:
        if ":" in parts.hostname:
            permit(parts.hostname)
    return parts, port


def connect(parts, port):
    """A connection to an address that was checked, by a single look-up."""
    found = [info[4][0] for info in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)]
    if "webhooks-by-name" not in vulnerabilities:
        permit(found[0])
    target = parts.hostname if "resolves-twice" in vulnerabilities else found[0]
    connection = socket.create_connection((target, port), 5)
    return ssl.create_default_context().wrap_socket(connection, server_hostname=target) if parts.scheme == "https" else connection


def signature(webhook, id, seconds, body):
    if "signs-nothing" in vulnerabilities:
        return "v1,none"
    text = f"{id}.{seconds}.{body}".encode()
    return "v1," + base64.b64encode(hmac.digest(webhook["key"], text, hashlib.sha256)).decode()


def send(webhook, url, event):
    """Posts an event, and follows redirects. Whether the receiver has taken it."""
    id, seconds, body = str(uuid.uuid4()), int(time.time()), json.dumps(event)
    for step in range(4):
        checked = step == 0 or "follows-redirects" not in vulnerabilities
        parts, port = check(url) if checked else (urlsplit(url), urlsplit(url).port or 443)
        # After a redirect that is not checked, the address is not checked, either.
        connection = connect(parts, port) if checked else socket.create_connection((parts.hostname, port), 5)
        head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        head += f"webhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signature(webhook, id, seconds, body)}\r\n"
        with connection:
            connection.sendall(f"{head}\r\n{body}".encode())
            answer = connection.recv(1 << 16).decode("latin-1")
        status = int(answer.split(" ")[1])
        location = [line.partition(":")[2].strip() for line in answer.split("\r\n") if line.lower().startswith("location:")]
        if status not in (307, 308) or not location:
            return 200 <= status < 300
        url = urljoin(url, location[0])
    return False


def publish(kind, subject):
    """Sends an event to all webhooks."""
    for webhook in list(webhooks.values()):
        def deliver(webhook=webhook):
            try:
                taken = send(webhook, webhook["url"], {"type": kind, "subject": subject})
            except (OSError, Refused, ValueError, IndexError):
                taken = False
            webhook["delivered" if taken else "parked"] += 1
        threading.Thread(target=deliver, daemon=True).start()


def report(webhook, is_new=False):
    shown = {name: value for name, value in webhook.items() if name != "key"}
    if is_new or "shows-secrets" in vulnerabilities:
        shown["secret"] = "whsec_" + base64.b64encode(webhook["key"]).decode()
    return shown


def answer(request, path):
    """Makes, lists, shows or deletes a webhook."""
    if (request.method, path) == ("POST", "/webhooks"):
        url = json.loads(request.body)["url"]
        check(url)
        id, key = str(uuid.uuid4()), ONE_SECRET if "one-secret" in vulnerabilities else os.urandom(32)
        webhooks[id] = {"id": id, "url": url, "key": key, "delivered": 0, "parked": 0}
        return 201, report(webhooks[id], is_new=True)
    if (request.method, path) == ("GET", "/webhooks"):
        return 200, {"items": [report(webhook) for webhook in webhooks.values()]}
    id = path.split("/")[2]
    if id not in webhooks:
        raise Refused(404, "not found")
    if request.method == "DELETE":
        return 200, report(webhooks.pop(id))
    return 200, report(webhooks[id])
