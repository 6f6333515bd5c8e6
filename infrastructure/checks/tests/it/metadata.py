"""A metadata service of EC2, version 2, for the tests: prints its address, and answers what has a token."""

import http.server
import itertools
import json

NOTICES = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
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
            return self.answer(200, json.dumps({"AccessKeyId": "test", "SecretAccessKey": "test", "Token": "a-token"}))
        if self.path == "/latest/meta-data/spot/instance-action" and next(NOTICES) >= 3:
            return self.answer(200, '{"action": "terminate"}')
        return self.answer(404)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
