"""What the pushover runs: programs, with nothing around them, and what it says of them.

See pushover.py for what it is there for, and that it is never to be used otherwise.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from datetime import datetime, timezone

# Wall-clock time of a program in seconds. Long, so that each comes to what it is after.
PROGRAM_SECONDS = 15
# Programs at one moment.
slots = threading.Semaphore(8)

faults = set()
root = tempfile.mkdtemp(prefix="pushover-")
evaluations = {}
# Connections that follow all events.
streams = []


class Refused(Exception):
    """A request that an upright server does not take: a status, and why."""


class Evaluation:
    """One program, and how it went."""

    def __init__(self, asked):
        self.id = str(uuid.uuid4())
        self.status, self.outcome, self.exit_code = "queued", None, None
        self.asked, self.cancels, self.process = asked, 0, None
        self.submitted = datetime.now(timezone.utc).isoformat()
        self.lock, self.over = threading.Lock(), threading.Event()
        self.folder = tempfile.mkdtemp(dir=root)
        self.paths = [os.path.join(root, f"{self.id}.{name}") for name in ("out", "err")]

    def run(self):
        code = str(self.asked.get("code", ""))
        with slots, open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            with self.lock:
                if not self.outcome:
                    self.status = "running"
                    self.process = subprocess.Popen(
                        [sys.executable, "-I", "-X", "utf8", "-c", code],
                        stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder)
            if self.process:
                self.wait()
        self.over.set()

    def wait(self):
        try:
            code = self.process.wait(PROGRAM_SECONDS)
        except subprocess.TimeoutExpired:
            if "asks-politely" in faults:
                self.process.terminate()
            else:
                self.process.kill()
                self.process.wait()
            return self.end("failed", "wall_time_exceeded")
        if "waits-for-readers" in faults:
            for stream in list(streams):
                stream.sendall(b"data: " + self.printed(0).encode() + b"\n\n")
        if code == 137 and "trusts-codes" in faults:
            return self.end("failed", "memory_exceeded", code)
        self.end("completed", "exited" if code >= 0 else "signaled", code if code >= 0 else None)

    def end(self, status, outcome, code=None):
        """The first end is the end."""
        with self.lock:
            if not self.outcome:
                self.status, self.outcome, self.exit_code = status, outcome, code

    def cancel(self):
        """A running one is killed, one that waits does not start, one that has ended stays so."""
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
        said = {
            "id": self.id, "status": status, "outcome": outcome, "exit_code": exit_code,
            "signal": None, "attempt": 1,
            "stdout": output(self.printed(0)), "stderr": output(self.printed(1)),
            "sandbox": {"engine": "none"}, "timing": {"submitted_at": self.submitted},
            "limits": {
                "timeout_seconds": PROGRAM_SECONDS, "cpu_seconds": PROGRAM_SECONDS, "pids": 1,
                "memory_bytes": 1, "output_bytes": 1, "disk_bytes": 1, "open_files": 1,
            },
        }
        if "believes-output" in faults:
            for line in self.printed(0).splitlines():
                try:
                    said.update(json.loads(line))
                except ValueError:
                    pass  # not what it believes in
        return said
