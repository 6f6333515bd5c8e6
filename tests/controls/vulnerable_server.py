"""The pushover: a server that stands in the place of a stage and gives way to attacks.

Some probes of the platform escape on no stage. Each of them has to be seen to escape all the same,
for one that cannot would look contained on anything. Here is where: this server speaks the stages'
API, and has exactly the faults that its command line names; with none, it withstands those probes.
tests/tests/controls.rs starts it.

Never use it for anything else. It runs whatever it is sent, with your rights, on the open host.

    python3 pushover.py FAULT,FAULT [the command line of the stage, which is not looked at]
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

from evaluation import Evaluation, Refused, evaluations, faults, root, streams

FAULTS = {
    "answers-the-hidden": "lets chunks win over a length, and answers what stands behind them",
    "asks-politely": "ends what has used up its time with SIGTERM, and does not look whether it did",
    "believes-output": "takes JSON that a program prints for its own",
    "contradicts": "has no answer to a second request to cancel",
    "falls-over": "ends when JSON is nested too deep",
    "forgets-cancels": "says that it has cancelled, and does nothing",
    "knows-everybody": "has an evaluation for every id",
    "labels-in-metrics": "has a metric for every label",
    "logs-raw": "writes requests and programs into its log as they are",
    "one-at-a-time": "serves one connection after the other, and waits for each as long as it takes",
    "raw-answers": "has control characters in its JSON as they are",
    "raw-events": "puts what a program prints into a stream as it is",
    "serves-files": "looks for unknown paths among the files of the host",
    "splits-headers": "puts the decoded path into a header",
    "takes-anything": "takes every body, with any field and any value",
    "tells": "has the backtrace of the error in its answer",
    "trusts-codes": "takes exit code 137 for the work of the out-of-memory killer",
    "waits-for-readers": "has a program wait until every stream has taken what it printed",
    "waits-for-the-rest": "goes on waiting for a request whose sender has left",
    "writes-first": "writes files before it looks at their names",
}

# What an upright server takes: the fields, and the bounds of those that are numbers.
BOUNDS = {"timeout_seconds": (0.1, 60), "memory_bytes": (1 << 20, 1 << 30)}
FIELDS = {"code", "files", "labels", *BOUNDS}


class Request:
    """One request, read by hand, since a library would refuse what is asked for here."""

    def __init__(self, head, rest, connection):
        self.lines = head.decode("latin-1").split("\r\n")
        self.method, self.path = (self.lines[0].split(" ") + ["", ""])[:2]
        self.body, self.rest = b"", rest
        lengths, chunked = self.header("content-length"), self.header("transfer-encoding")
        if chunked and "answers-the-hidden" in faults:
            self.body, _, self.rest = rest.partition(b"0\r\n\r\n")
        elif chunked or len(lengths) > 1 or not all(length.isdecimal() for length in lengths):
            raise Refused(400, "how long is it?")
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
        if not more and "waits-for-the-rest" not in faults:
            return None
        if not more:
            time.sleep(0.1)
        data += more
    return Request(*data.split(b"\r\n\r\n", 1), connection)


def asked(request):
    """The JSON of a submission."""
    if "takes-anything" in faults:
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            body = None
        return body if isinstance(body, dict) else {}
    try:
        body = json.loads(request.body)
    except RecursionError:
        if "falls-over" in faults:
            os._exit(1)
        raise Refused(400, "nested too deep") from None
    except ValueError:
        raise Refused(400, "not JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("code"), str) or set(body) - FIELDS:
        raise Refused(400, "unknown fields, or no code")
    if "writes-first" in faults:
        write(body.get("files", {}), tempfile.mkdtemp(dir=root))
    for name, (least, most) in BOUNDS.items():
        value = body.get(name, least)
        if type(value) not in (int, float) or not least <= value <= most:
            raise Refused(400, f"{name} is out of bounds")
    if body.get("files"):
        raise Refused(400, "it takes no files")
    return body


def write(files, folder):
    """Writes files where their names say."""
    for name, text in files.items():
        try:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        except (OSError, ValueError):
            pass  # names that no system takes


def submit(request):
    evaluation = Evaluation(asked(request))
    if "takes-anything" in faults:
        write(evaluation.asked.get("files", {}), evaluation.folder)
    if "logs-raw" in faults:
        print(evaluation.asked.get("code"), file=sys.stderr, flush=True)
    evaluations[evaluation.id] = evaluation
    running = threading.Thread(target=evaluation.run, daemon=True)
    running.start()
    if request.header("prefer"):
        evaluation.over.wait()
    return (200 if evaluation.outcome else 202), evaluation.report()


def cancel(evaluation):
    evaluation.cancels += 1
    if "forgets-cancels" in faults:
        return 200, {**evaluation.report(), "status": "cancelled", "outcome": "cancelled"}
    if "contradicts" in faults and evaluation.cancels > 1:
        return 500, {"title": "what is there to cancel?"}
    evaluation.cancel()
    return 202, evaluation.report()


def metrics():
    labels = {}
    for evaluation in list(evaluations.values()):
        labels.update(evaluation.asked.get("labels", {}))
    if "labels-in-metrics" not in faults:
        labels = {}
    names = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return 200, f"evaluations_total{{{names}}} {len(evaluations)}\n"


def find(path):
    """The evaluation that a path is about."""
    found = evaluations.get(path.split("/")[2]) if path.startswith("/eval/") else None
    if not found and "knows-everybody" in faults:
        found = next(iter(evaluations.values()), Evaluation({}))
    if not found:
        raise Refused(404, "nothing is there")
    return found


def follow(path, connection):
    """Sends events, until the program has ended or the reader has gone."""
    evaluation = None if path == "/events" else find(path)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    if not evaluation:
        streams.append(connection)
        while connection.recv(1 << 16):
            pass
        return
    evaluation.over.wait()
    text = evaluation.printed(0)
    data = text if "raw-events" in faults else json.dumps(text)
    connection.sendall(f"event: evaluation.progress\ndata: {data}\n\n".encode())


def answer(request):
    """A status and what to say."""
    path = unquote(request.path)
    if (request.method, path) == ("POST", "/eval"):
        return submit(request)
    if (request.method, path) == ("GET", "/metrics"):
        return metrics()
    if (request.method, path) == ("GET", "/queue"):
        return 200, {"length": 0}
    file = os.path.normpath(os.path.join(root, path.lstrip("/")))
    if "serves-files" in faults and os.path.isfile(file):
        with open(file, encoding="utf-8") as opened:
            return 200, opened.read()
    evaluation = find(path)
    if request.method == "DELETE":
        return cancel(evaluation)
    if request.method == "GET":
        return 200, evaluation.report()
    raise Refused(405, "not with this method")


def respond(request, connection):
    path = unquote(request.path)
    if "logs-raw" in faults:
        print(f"{request.method} {path}", file=sys.stderr, flush=True)
    try:
        if request.method == "GET" and path.endswith("/events"):
            return follow(path, connection)
        status, said = answer(request)
    except Refused as refused:
        status, why = refused.args
        said = {"title": why}
        if "tells" in faults:
            said["backtrace"] = "panicked at src/api.rs:1:1, stack backtrace: ..."
    text = said if isinstance(said, str) else json.dumps(said)
    if "raw-answers" in faults:
        text = text.replace("\\u001b", "\x1b").replace("\\u0007", "\x07")
    body = text.encode("utf-8", "replace")
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n"
    if "one-at-a-time" in faults:
        head += "Connection: close\r\n"
    if "splits-headers" in faults:
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
                return  # nobody reads any more
            data = request.rest
            if request.header("connection") == ["close"] or "one-at-a-time" in faults:
                return


def stop(*_):
    """Ends what runs, and then itself."""
    for evaluation in list(evaluations.values()):
        if evaluation.process and evaluation.process.poll() is None:
            evaluation.process.kill()
    os._exit(0)


def main():
    named = list(filter(None, sys.argv[1].split(",")))
    if unknown := [name for name in named if name not in FAULTS]:
        sys.exit(f"{', '.join(unknown)}: no such fault; there are {', '.join(FAULTS)}")
    faults.update(named)
    one = "one-at-a-time" in faults
    kind = socketserver.TCPServer if one else socketserver.ThreadingTCPServer
    kind.request_queue_size, kind.daemon_threads = 4096, True
    signal.signal(signal.SIGTERM, stop)
    with kind(("127.0.0.1", 0), Handler) as server:
        print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


main()
