"""Receives webhooks, and verifies each with the library of Standard Webhooks.

receiver.py SECRET_FILE LOG_FILE [CERTIFICATE KEY]: prints its port, speaks TLS if it has a certificate, reads the secret at each request, and writes one line of
JSON for each: the id and the type of the event, or why it was not verified.
"""

import http.server
import json
import pathlib
import ssl
import sys

from standardwebhooks import Webhook, WebhookVerificationError

SECRET, LOG = (pathlib.Path(argument) for argument in sys.argv[1:3])


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        line = {"id": self.headers["webhook-id"]}
        try:
            line["type"] = Webhook(SECRET.read_text().strip()).verify(body, dict(self.headers))["type"]
        except WebhookVerificationError as error:
            line["error"] = str(error)
        with LOG.open("a") as log:
            print(json.dumps(line), file=log)
        self.send_response(204 if "type" in line else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
if sys.argv[3:]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[3:])
    # The handshake is made by the thread of the connection: one that fails ends that thread alone.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
