"""What only a whole machine shows: a server that is killed, a Docker daemon that is restarted, a memory limit that
is lowered on a waiting sandbox. Runs in the virtual machine, as root: live.py DIRECTORY_OF_BINARIES

Each check prints one line; the first that fails ends the program.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

BINARIES = sys.argv[1]
TIMEOUT = 240  # seconds; the machine is emulated
ENGINES = [("stage-04-docker", []), ("stage-05-gvisor", []), ("stage-06-advanced", [])]


class Server:
    def __init__(self, name, arguments=()):
        self.process = subprocess.Popen(
            [f"{BINARIES}/{name}", *arguments, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        assert "listening on http://" in line, f"{name} did not start; its log is above"
        self.url = line.split("listening on ")[1].strip().split()[0].rstrip("/")

    def request(self, method, path, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)

    def evaluate(self, code, **fields):
        evaluation = self.request("POST", "/eval", {"code": code, "timeout_seconds": 120, **fields})
        return eventually(f"an end of {code!r}", lambda: self.ended(evaluation["id"]))

    def ended(self, id):
        evaluation = self.request("GET", f"/eval/{id}")
        return evaluation if evaluation["outcome"] else None

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(TIMEOUT)


def eventually(what, condition):
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {TIMEOUT} s: {what}")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def remains():
    """Containers, processes of sandboxes, and cgroups of them."""
    found = output("docker", "ps", "--all", "--quiet")
    for process in os.listdir("/proc"):
        try:
            executable = os.readlink(f"/proc/{process}/exe")
        except OSError:
            continue
        if os.path.basename(executable).startswith("runsc"):
            found.append(f"{process} {executable}")
    parent = "/sys/fs/cgroup/crucible-runsc"
    for directory, _, files in os.walk(parent):
        if "cgroup.procs" in files and directory.count("/") - parent.count("/") >= 2:
            found.append(directory)
    return found


def expect(evaluation, outcome="exited", text="42\n"):
    seen = evaluation["outcome"], evaluation["stdout"]["text"]
    assert seen == (outcome, text), json.dumps(evaluation, indent=1)
    return evaluation


def killed_server(name, arguments):
    server = Server(name, arguments)
    evaluation = server.request("POST", "/eval", {"code": "import time; time.sleep(100)", "timeout_seconds": 120})
    eventually("it runs", lambda: server.request("GET", f"/eval/{evaluation['id']}")["status"] == "running")
    time.sleep(5)
    assert remains(), "a program runs, and there is no sandbox"
    server.stop(signal.SIGKILL)
    server = Server(name, arguments)
    expect(server.evaluate("print(42)"))
    server.stop()
    eventually("nothing remains", lambda: not remains())


def restarted_docker(name, arguments):
    server = Server(name, arguments)
    expect(server.evaluate("print(42)"))
    subprocess.run(["systemctl", "restart", "docker"], check=True)

    def again():
        evaluation = server.evaluate("print(42)")
        return evaluation["outcome"] == "exited" and evaluation["stdout"]["text"] == "42\n"

    eventually("programs run after Docker's restart", again)
    server.stop()
    eventually("nothing remains", lambda: not remains())


def lowered_memory():
    """Version 1 refuses a limit below what is in use; version 2 would kill what uses it."""
    server = Server("stage-06-advanced", ["--warm-sandboxes", "2"])
    for mebibytes in (200, 128, 64, 48, 32):
        evaluation = server.evaluate("print(42)", memory_bytes=mebibytes << 20)
        evidence = evaluation["evidence"]
        print(f"  {mebibytes} MiB: {evaluation['outcome']}, {json.dumps(evidence)}", flush=True)
        expect(evaluation)
        assert evaluation["attempt"] == 1
    hog = server.evaluate("print(42, flush=True); x = b'x' * (100 << 20)", memory_bytes=64 << 20)
    expect(hog, "memory_exceeded")
    server.stop()
    eventually("nothing remains", lambda: not remains())


def check(name, function, *arguments):
    started = time.monotonic()
    function(*arguments)
    print(f"ok {name} ({time.monotonic() - started:.0f} s)", flush=True)


for name, arguments in ENGINES:
    check(f"{name}: kill -9 of the server leaves nothing after the next start", killed_server, name, arguments)
for name, arguments in ENGINES:
    check(f"{name}: a restart of Docker", restarted_docker, name, arguments)
check("stage-06-advanced: a lower memory limit of a waiting sandbox", lowered_memory)
