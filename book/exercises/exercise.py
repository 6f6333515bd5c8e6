"""For the checks of the exercises: a stage's real server, a client for it, and a verdict.

A check ends by `fail(why)`, which says what the answer does not do yet, or it passes by its end.
"""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

# The reader's file.
ANSWER = pathlib.Path(sys.argv[1]).resolve()


def fail(why):
    """Ends the check: the answer does not pass yet."""
    print(why)
    sys.stdout.flush()
    sys.exit(1)


def expect(holds, why):
    """Ends the check unless `holds`."""
    if not holds:
        fail(why)


class Reply:
    """A response: `status`, `headers`, `text`, and `json()`."""

    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def json(self):
        """The body as JSON."""
        return json.loads(self.text)


def request(url, method="GET", body=None, headers=None, timeout=60):
    """Sends a request. Every status is a response, not an error."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} if data else {}
    asked = urllib.request.Request(url, data, {**sent, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=timeout) as response:
            return Reply(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, error.read().decode())


class Stage:
    """The server of a stage on a free port, until the `with` block ends."""

    def __init__(self, number, *arguments, environment=None):
        command = [os.environ[f"CRUCIBLE_STAGE_{number:02}"]]
        command += [] if number == 1 else ["serve"]
        command += ["--listen", "127.0.0.1:0", *arguments]
        self.number = number
        self.command = command
        self.environment = {**os.environ, **(environment or {})}
        self.log = None

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=self.environment,
            cwd=tempfile.gettempdir(),
        )
        line = self.process.stdout.readline().decode()
        if "http://" not in line:
            raise RuntimeError(f"{self.command} did not start: {line}{self.stderr()}")
        self.url = "http://" + line.split("http://")[1].split()[0].rstrip("/")
        return self

    def __exit__(self, *_):
        # The second signal ends what still runs.
        for _ in range(2):
            self.process.terminate()
            try:
                self.process.wait(2)
                return
            except subprocess.TimeoutExpired:
                pass
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stderr(self):
        """What the server has logged so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def request(self, path, *arguments, **more):
        """A request to a path of this server."""
        return request(self.url + path, *arguments, **more)

    def evaluate(self, code, **fields):
        """Runs a program, and waits for its end."""
        if self.number == 1:
            return self.request("/eval", "POST", {"code": code, **fields}).json()
        reply = self.request(
            "/eval", "POST", {"code": code, **fields}, {"Prefer": "wait=60"}
        )
        if reply.status != 200:
            fail(f"the server answers {reply.status}: {reply.text}")
        return reply.json()


def data_directory():
    """A directory for the server of one check, whose process has no rights of root."""
    directory = tempfile.TemporaryDirectory()
    os.chmod(directory.name, 0o755)
    return directory


def run_answer(*arguments, timeout=60):
    """Runs the answer as a program, and returns what it printed."""
    try:
        done = subprocess.run(
            [sys.executable, str(ANSWER), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        fail(f"your program has not ended after {timeout} s")
    if done.returncode != 0:
        fail(f"your program ends with {done.returncode}:\n{done.stderr.strip()[-1500:]}")
    return done.stdout


def eventually(condition, seconds=20):
    """Whether `condition` holds within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


class Proxy:
    """Passes requests on to a server: `requests` has the method and path of each, in their order."""

    def __init__(self, url, lose_first_answer=False):
        proxy = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            """One connection."""

            def do_GET(self):
                """Passes a request on."""
                proxy.requests.append((self.command, self.path))
                length = int(self.headers.get("Content-Length", 0))
                names = ("Content-Type", "Idempotency-Key", "Prefer")
                headers = {name: self.headers[name] for name in names if self.headers[name]}
                passed = urllib.request.Request(
                    url + self.path, self.rfile.read(length) or None, headers, method=self.command
                )
                try:
                    response = urllib.request.urlopen(passed, timeout=60)
                except urllib.error.HTTPError as error:
                    response = error
                with response:
                    text = response.read()
                if lose_first_answer and len(proxy.requests) == 1:
                    self.close_connection = True
                    return
                self.send_response(response.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_DELETE = do_GET

            def log_message(self, *_):
                """Nothing: the check's own output is for the reader."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
