"""A vulnerable server: the positive control of the probes that attack the platform over HTTP.

Some of these probes escape on no stage. A probe that cannot escape at all would look contained on
every server, so each of them has to be seen to escape here: this server has the stages' API, and
exactly the vulnerabilities that its command line names. Without any it contains those probes.
tests/tests/it/controls.rs starts it.

Never use it for anything else. It runs every program that it receives, as your user, on the host.

    python3 vulnerable_server.py NAME,NAME [the command line of a stage, which is ignored]
"""

import json
import os
import signal
import socketserver
import sys
import tempfile
import threading
import time
from urllib.parse import unquote

import artifacts
import pages
import tenants
import webhooks
from evaluation import LANGUAGES, Evaluation, Refused, evaluations, vulnerabilities, root, streams

VULNERABILITIES = {
    "request-smuggling": "prefers Transfer-Encoding to Content-Length, and serves the request after it",
    "sigterm-only": "sends SIGTERM on a time-out, and does not check that the program ended",
    "trusts-output": "merges JSON that a program prints into the evaluation",
    "second-cancel-fails": "responds with 500 to a second request to cancel",
    "crashes-on-nesting": "crashes when JSON is nested too deep",
    "ignores-cancel": "reports an evaluation as cancelled, and does not end it",
    "any-id-exists": "returns an evaluation for every id",
    "labels-in-metrics": "has a metric for every label",
    "unescaped-log": "logs requests and programs without escaping",
    "serial": "serves one connection at a time, without a timeout",
    "unescaped-json": "does not escape control characters in JSON",
    "unescaped-events": "writes the output of a program into an event stream without escaping",
    "path-traversal": "serves files of the host for unknown paths",
    "header-injection": "writes the decoded path into a response header",
    "no-validation": "accepts every body, with any field and any value",
    "backtrace-in-errors": "shows a backtrace in its error responses",
    "trusts-exit-code": "reports exit code 137 as memory_exceeded",
    "blocks-on-readers": "blocks an evaluation until every reader has received its output",
    "ignores-eof": "waits on for a request after its client has closed the connection",
    "follows-links": "serves what the links lead to that a program leaves",
    "names-in-headers": "writes the names of files that a program leaves into headers",
    "one-file-for-all": "serves the first of the files that a program leaves for each of them",
    "markup-in-page": "shows what a program has left as markup",
    "foreign-pages": "answers pages of other sites, and any host",
    "framed": "lets other sites show its page in a frame",
    "webhooks-anywhere": "sends webhooks to any address",
    "webhooks-by-name": "sends webhooks to what a name leads to, whatever that is",
    "follows-redirects": "follows the redirects of a receiver to any address",
    "resolves-twice": "resolves the name of a receiver once to check it, and again to connect",
    "signs-nothing": "gives the messages of webhooks a signature that is always the same",
    "one-secret": "has one secret for all webhooks",
    "shows-secrets": "shows the secrets of webhooks in lists",
    "others-batches": "finds the batches of every client for every other one",
    "shared-idempotency": "counts the idempotency keys of all clients together",
    "writes-before-checks": "writes files before it checks their names",
}

# What a correct server accepts: the fields, and the bounds of the numbers.
BOUNDS = {"timeout_seconds": (0.1, 60), "memory_bytes": (1 << 20, 1 << 30)}
FIELDS = {"code", "files", "labels", "environment", *BOUNDS}


class Request:
    """One request, parsed by hand: a library would reject the requests of the probes."""

    def __init__(self, head, rest, connection):
        self.lines = head.decode("latin-1").split("\r\n")
        self.method, self.path = (self.lines[0].split(" ") + ["", ""])[:2]
        self.body, self.rest = b"", rest
        lengths, chunked = self.header("content-length"), self.header("transfer-encoding")
        if chunked and "request-smuggling" in vulnerabilities:
            self.body, _, self.rest = rest.partition(b"0\r\n\r\n")
        elif chunked or len(lengths) > 1 or not all(length.isdecimal() for length in lengths):
            raise Refused(400, "no single length")
        else:
            length = int(lengths[0]) if lengths else 0
            while len(self.rest) < length and (more := connection.recv(1 << 16)):
                self.rest += more
            self.body, self.rest = self.rest[:length], self.rest[length:]

    def header(self, name):
        pairs = (line.partition(":") for line in self.lines[1:])
        return [value.strip() for key, _, value in pairs if key.strip().lower() == name]


def read(connection, data):
    """The next request, or None when there is none."""
    while b"\r\n\r\n" not in data:
        more = connection.recv(1 << 16)
        if not more and "ignores-eof" not in vulnerabilities:
            return None
        if not more:
            time.sleep(0.1)
        data += more
    return Request(*data.split(b"\r\n\r\n", 1), connection)


def parse(request):
    """The JSON body of a submission."""
    if "no-validation" in vulnerabilities:
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            body = None
        return body if isinstance(body, dict) else {}
    try:
        body = json.loads(request.body)
    except RecursionError:
        if "crashes-on-nesting" in vulnerabilities:
            os._exit(1)
        raise Refused(400, "nested too deep") from None
    except ValueError:
        raise Refused(400, "not JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("code"), str) or set(body) - FIELDS:
        raise Refused(400, "unknown fields, or no code")
    if "writes-before-checks" in vulnerabilities:
        write(body.get("files", {}), tempfile.mkdtemp(dir=root))
    for name, (least, most) in BOUNDS.items():
        value = body.get(name, least)
        if type(value) not in (int, float) or not least <= value <= most:
            raise Refused(400, f"{name} is out of bounds")
    if body.get("files"):
        raise Refused(400, "files are not supported")
    environment = body.get("environment", "python")
    if not isinstance(environment, str) or environment not in LANGUAGES:
        raise Refused(400, "an unknown environment")
    return body


def write(files, directory):
    """Writes files to the paths that their names give."""
    for name, text in files.items():
        try:
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
        except (OSError, ValueError):
            pass  # not a valid path


def start(submission, owner):
    """Starts a program, and returns its id."""
    evaluation = Evaluation(submission)
    evaluations[evaluation.id], tenants.owners[evaluation.id] = evaluation, owner
    threading.Thread(target=evaluation.run, daemon=True).start()
    return evaluation.id


def submit(request):
    evaluation = Evaluation(parse(request))
    if "no-validation" in vulnerabilities:
        write(evaluation.submission.get("files", {}), evaluation.directory)
    if "unescaped-log" in vulnerabilities:
        print(evaluation.submission.get("code"), file=sys.stderr, flush=True)
    evaluations[evaluation.id], tenants.owners[evaluation.id] = evaluation, tenants.client(request)
    running = threading.Thread(target=evaluation.run, daemon=True)
    running.start()
    webhooks.publish("evaluation.queued", evaluation.id)
    if request.header("prefer"):
        evaluation.over.wait()
    return (200 if evaluation.outcome else 202), evaluation.report()


def cancel(evaluation):
    evaluation.cancels += 1
    if "ignores-cancel" in vulnerabilities:
        return 200, {**evaluation.report(), "status": "cancelled", "outcome": "cancelled"}
    if "second-cancel-fails" in vulnerabilities and evaluation.cancels > 1:
        return 500, {"title": "nothing to cancel"}
    evaluation.cancel()
    return 202, evaluation.report()


def metrics():
    labels = {}
    for evaluation in list(evaluations.values()):
        labels.update(evaluation.submission.get("labels", {}))
    if "labels-in-metrics" not in vulnerabilities:
        labels = {}
    names = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return 200, f"evaluations_total{{{names}}} {len(evaluations)}\n"


def find(path):
    """The evaluation that a path names."""
    found = evaluations.get(path.split("/")[2]) if path.startswith("/eval/") else None
    if not found and "any-id-exists" in vulnerabilities:
        found = next(iter(evaluations.values()), Evaluation({}))
    if not found:
        raise Refused(404, "not found")
    return found


def follow(path, connection):
    """Sends events until the program has ended or the reader has disconnected."""
    evaluation = None if path == "/events" else find(path)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    if not evaluation:
        streams.append(connection)
        while connection.recv(1 << 16):
            pass
        return
    evaluation.over.wait()
    text = evaluation.printed(0)
    data = text if "unescaped-events" in vulnerabilities else json.dumps(text)
    connection.sendall(f"event: evaluation.progress\ndata: {data}\n\n".encode())


def answer(request):
    """The status and the body of a response."""
    path = unquote(request.path)
    pages.check(request)
    if (request.method, path) == ("GET", "/"):
        return pages.answer()
    if (request.method, path) == ("POST", "/eval"):
        return tenants.once(request, submit)
    if path.split("/")[1] == "batches":
        return tenants.batch(request, path, start)
    if path.split("/")[1] == "webhooks":
        return webhooks.answer(request, path)
    if (request.method, path) == ("GET", "/metrics"):
        return metrics()
    if request.method == "GET" and path.split("?")[0] == "/eval":
        items = [{"labels": each.submission.get("labels", {})} for each in list(evaluations.values())]
        return 200, {"items": items}
    if (request.method, path) == ("GET", "/environments"):
        items = [{"name": name, "file": file} for name, (_, file) in LANGUAGES.items()]
        return 200, {"items": items}
    if (request.method, path) == ("GET", "/queue"):
        return 200, {"length": 0}
    file = os.path.normpath(os.path.join(root, path.lstrip("/")))
    if "path-traversal" in vulnerabilities and os.path.isfile(file):
        with open(file, encoding="utf-8") as opened:
            return 200, opened.read()
    evaluation = find(path)
    tenants.check_owner(request, evaluation.id)
    if "/artifacts" in path:
        return artifacts.answer(evaluation, path)
    if request.method == "DELETE":
        return cancel(evaluation)
    if request.method == "GET":
        return 200, evaluation.report()
    raise Refused(405, "method not allowed")


def respond(request, connection):
    path = unquote(request.path)
    if "unescaped-log" in vulnerabilities:
        print(f"{request.method} {path}", file=sys.stderr, flush=True)
    try:
        if request.method == "GET" and path.endswith("/events"):
            pages.check(request)
            return follow(path, connection)
        status, body, *headers = answer(request)
    except Refused as refused:
        (status, why), headers = refused.args, []
        body = {"title": why}
        if "backtrace-in-errors" in vulnerabilities:
            body["backtrace"] = "panicked at src/api.rs:1:1, stack backtrace: ..."
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    if "unescaped-json" in vulnerabilities:
        text = text.replace("\\u001b", "\x1b").replace("\\u0007", "\x07")
    body = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    head = f"HTTP/1.1 {status} Status\r\n" + "".join(headers or ["Content-Type: application/json\r\n"])
    if "serial" in vulnerabilities:
        head += "Connection: close\r\n"
    if "header-injection" in vulnerabilities:
        head += f"X-Path: {path}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Handler(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self):
        data = b""
        while True:
            try:
                request = read(self.request, data)
                if not request:
                    return
                respond(request, self.request)
            except Refused as refused:
                self.request.sendall(b"HTTP/1.1 %d No\r\n\r\n" % refused.args[0])
                return
            except OSError:
                return  # the client has disconnected
            data = request.rest
            if request.header("connection") == ["close"] or "serial" in vulnerabilities:
                return


def stop(*_):
    """Kills the running programs and exits."""
    for evaluation in list(evaluations.values()):
        if evaluation.process and evaluation.process.poll() is None:
            evaluation.process.kill()
    os._exit(0)


def main():
    named = list(filter(None, sys.argv[1].split(",")))
    if unknown := [name for name in named if name not in VULNERABILITIES]:
        sys.exit(f"{', '.join(unknown)}: no such vulnerability; known are {', '.join(VULNERABILITIES)}")
    vulnerabilities.update(named)
    one = "serial" in vulnerabilities
    kind = socketserver.TCPServer if one else socketserver.ThreadingTCPServer
    kind.request_queue_size, kind.daemon_threads = 4096, True
    signal.signal(signal.SIGTERM, stop)
    with kind(("127.0.0.1", 0), Handler) as server:
        print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


main()
