"""The evaluations of the vulnerable server: programs that run without a sandbox, and their results.

See vulnerable_server.py for its purpose, and why it must never be used for anything else.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from datetime import datetime, timezone

# Wall-clock time of a program in seconds. Long, so that every probe reaches its attack.
PROGRAM_SECONDS = 30
# How many programs run at the same time.
slots = threading.Semaphore(8)

# What programs of an environment are run by, and the file that they are written to.
PYTHON = [sys.executable, "-I", "-X", "utf8"]
LANGUAGES = {
    "python": (PYTHON, "main.py"),
    "shell": (["bash"], "main.sh"),
    "javascript": (["node"], "main.js"),
}

vulnerabilities = set()
root = tempfile.mkdtemp(prefix="vulnerable-server-")
evaluations = {}
# Connections that follow all events.
streams = []


class Refused(Exception):
    """A request that a correct server rejects: the status, and the reason."""


class Evaluation:
    """One program and its result."""

    def __init__(self, submission):
        self.id = str(uuid.uuid4())
        self.status, self.outcome, self.exit_code = "queued", None, None
        self.submission, self.cancels, self.process = submission, 0, None
        self.submitted = datetime.now(timezone.utc).isoformat()
        self.lock, self.over = threading.Lock(), threading.Event()
        self.directory = tempfile.mkdtemp(dir=root)
        self.paths = [os.path.join(root, f"{self.id}.{name}") for name in ("out", "err")]

    def run(self):
        command = self.command(str(self.submission.get("code", "")))
        with slots, open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            with self.lock:
                if not self.outcome:
                    self.status = "running"
                    self.process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.directory,
                        env={**os.environ, "LADDER_OUTPUT": self.directory})
            if self.process:
                self.wait()
        self.over.set()

    def command(self, code):
        environment = self.submission.get("environment") or "python"
        if environment == "python":
            return [*PYTHON, "-c", code]
        interpreter, name = LANGUAGES[environment]
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(code)
        return [*interpreter, path]

    def wait(self):
        try:
            code = self.process.wait(PROGRAM_SECONDS)
        except subprocess.TimeoutExpired:
            if "sigterm-only" in vulnerabilities:
                self.process.terminate()
            else:
                self.process.kill()
                self.process.wait()
            return self.end("failed", "wall_time_exceeded")
        if "blocks-on-readers" in vulnerabilities:
            for stream in list(streams):
                stream.sendall(b"data: " + self.printed(0).encode() + b"\n\n")
        if code == 137 and "trusts-exit-code" in vulnerabilities:
            return self.end("failed", "memory_exceeded", code)
        self.end("completed", "exited" if code >= 0 else "signaled", code if code >= 0 else None)

    def end(self, status, outcome, code=None):
        """Records the end; later calls change nothing."""
        with self.lock:
            if not self.outcome:
                self.status, self.outcome, self.exit_code = status, outcome, code

    def cancel(self):
        """Kills a running program, and removes a waiting one from the queue."""
        if self.outcome:
            raise Refused(409, "it has ended")
        self.end("cancelled", "cancelled")
        if self.process:
            self.process.kill()

    def printed(self, stream):
        try:
            with open(self.paths[stream], encoding="utf-8", errors="replace", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def report(self):
        def output(text):
            return {"text": text, "encoding": "utf8", "bytes_total": len(text), "truncated": False}

        with self.lock:
            status, outcome, exit_code = self.status, self.outcome, self.exit_code
        report = {
            "id": self.id, "status": status, "outcome": outcome, "exit_code": exit_code,
            "signal": None, "attempt": 1, "labels": self.submission.get("labels", {}),
            "stdout": output(self.printed(0)), "stderr": output(self.printed(1)),
            "sandbox": {"engine": "none"}, "timing": {"submitted_at": self.submitted},
            "limits": {
                "timeout_seconds": PROGRAM_SECONDS, "cpu_seconds": PROGRAM_SECONDS, "pids": 1,
                "memory_bytes": 1, "output_bytes": 1, "disk_bytes": 1, "open_files": 1,
            },
        }
        if "trusts-output" in vulnerabilities:
            for line in self.printed(0).splitlines():
                try:
                    report.update(json.loads(line))
                except ValueError:
                    pass  # not JSON
        return report
