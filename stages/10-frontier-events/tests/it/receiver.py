"""Receives webhooks, and verifies each with the library of Standard Webhooks.

receiver.py SECRET_FILE LOG_FILE: prints its port, reads the secret at each request, and writes one line of
JSON for each: the id and the type of the event, or why it was not verified.
"""

import http.server
import json
import pathlib
import sys

from standardwebhooks import Webhook, WebhookVerificationError

SECRET, LOG = (pathlib.Path(argument) for argument in sys.argv[1:])


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
print(server.server_port, flush=True)
server.serve_forever()
