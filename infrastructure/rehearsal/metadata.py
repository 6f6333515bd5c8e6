"""A metadata service of EC2, version 2: metadata.py [HOST:PORT NOTICE]

Prints its address, and answers what has a token. A spot machine's notice is there when the file NOTICE is, and without
one at the third question.
"""

import http.server
import itertools
import json
import os
import sys

ADDRESS, NOTICE = sys.argv[1:] or ["127.0.0.1:0", None]
QUESTIONS = itertools.count(1)
CREDENTIALS = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "LastUpdated": "2026-01-01T00:00:00Z",
    "AccessKeyId": "test",
    "SecretAccessKey": "test",
    "Token": "a-token",
    "Expiration": "2099-01-01T00:00:00Z",
}


def is_noticed():
    return os.path.exists(NOTICE) if NOTICE else next(QUESTIONS) >= 3


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if self.command == "PUT":
            self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "300")
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        wanted = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self.answer(200, "a-token") if wanted else self.answer(404)

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
            return self.answer(401)
        role = "/latest/meta-data/iam/security-credentials/"
        if self.path == role:
            return self.answer(200, "a-role")
        if self.path == role + "a-role":
            return self.answer(200, json.dumps(CREDENTIALS))
        if self.path == "/latest/meta-data/spot/instance-action" and is_noticed():
            return self.answer(200, '{"action": "terminate"}')
        return self.answer(404)

    def log_message(self, *_):
        pass


host, _, port = ADDRESS.partition(":")
server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
print(f"http://{host}:{server.server_port}", flush=True)
server.serve_forever()
