"""A deployment, rehearsed: cloud.py DIRECTORY BINARY BUNDLE...   (rehearse.sh calls it, in namespaces of its own)

It is the cloud around the machines: their metadata service at its own address, moto in the place of SQS, S3 and the
parameter store, and an API. The network has no way out. Machines are made, released, rolled back and ended with a
spot machine's notice; with one bundle, only made and ended. DIRECTORY/debian is their system, or this machine's own.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3
from user_data import API, MOTO, REGION, user_data

HERE = os.path.dirname(os.path.abspath(__file__))
METADATA = "169.254.169.254"
AWS = {"AWS_ENDPOINT_URL": MOTO, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# How long anything may take that should happen soon, on a machine that is busy with tests.
TIMEOUT = 120


def say(text):
    print(f"rehearsal: {text}", flush=True)


def until(what, condition, said=str):
    started = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - started > TIMEOUT:
            raise AssertionError(f"after {TIMEOUT} s: {what} has not happened\n{said()}")
        time.sleep(0.05)
    return found


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Cloud:
    """What machines find around them."""

    def __init__(self, directory, binary, bundles):
        self.directory, self.binary = directory, binary
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "address", "add", f"{METADATA}/32", "dev", "lo"], check=True)
        self.notice = self.path("notice")
        self.start("metadata", [sys.executable, f"{HERE}/metadata.py", f"{METADATA}:80", self.notice])
        host, _, port = MOTO.removeprefix("http://").partition(":")
        self.start("moto", [f"{os.path.dirname(sys.executable)}/moto_server", "-H", host, "-p", port])
        until("an answer of moto", lambda: answers(f"{MOTO}/moto-api/"))
        until("an answer of the metadata service", lambda: answers(f"http://{METADATA}/"))
        self.upload(bundles)
        self.client_key = self.key("operator", "admin")
        self.put_key(self.key("worker", "worker"))
        self.api = self.start("api", [binary, "serve"], self.api_environment())
        until("an answer of the API", lambda: answers(f"{API}/health"))

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, name, command, environment=None):
        with open(self.path(f"{name}.log"), "wb") as log:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def aws(self, service):
        return boto3.client(
            service, endpoint_url=MOTO, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def upload(self, bundles):
        s3 = self.aws("s3")
        s3.create_bucket(Bucket="releases-here", CreateBucketConfiguration={"LocationConstraint": REGION})
        for bundle in bundles:
            s3.upload_file(bundle, "releases-here", f"releases/{os.path.basename(bundle)}")

    def api_environment(self):
        settings = {"ROLE": "api", "QUEUE": f"sqs://{REGION}/crucible", "LISTEN": API.removeprefix("http://")}
        settings |= {"DATA_DIR": self.path("api"), "BROKER_VISIBILITY_SECONDS": "360"}
        return os.environ | AWS | {f"CRUCIBLE_{name}": value for name, value in settings.items()}

    def key(self, name, scope):
        command = [self.binary, "keys", "create", "--name", name, "--scope", scope]
        environment = os.environ | {"CRUCIBLE_DATA_DIR": self.path("api")}
        printed = subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout
        return next(line for line in printed.splitlines() if line.startswith("crk_"))

    def put_key(self, key):
        self.aws("ssm").put_parameter(Name="/crucible/worker-key", Type="SecureString", Value=key, Overwrite=True)

    def request(self, method, path, body=None, wait=None):
        request = urllib.request.Request(f"{API}{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.client_key}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if wait:
            request.add_header("Prefer", f"wait={wait}")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)

    def workers(self):
        """The names of those that take work."""
        return sorted(one["name"] for one in self.request("GET", "/workers")["items"] if one["state"] == "ready")

    def submit(self, code):
        return self.request("POST", "/eval", {"code": code})["id"]

    def ended(self, identifier):
        return until(
            f"the end of {identifier}",
            lambda: (one := self.request("GET", f"/eval/{identifier}"))["outcome"] and one,
        )

    def runs_a_program(self):
        code = "print(open('/proc/version').read().split()[0], 6 * 7)"
        ended = self.ended(self.submit(code))
        found = (ended["outcome"], ended["sandbox"]["engine"], ended["stdout"]["text"])
        assert found == ("exited", "gvisor", "Linux 42\n"), ended


class Machine:
    """A fresh machine with a release."""

    def __init__(self, cloud, name, bundle, is_broken=False):
        self.cloud, self.name, self.root = cloud, name, cloud.path(name)
        os.mkdir(self.root)
        if os.path.exists(cloud.path("debian")):
            subprocess.run(["cp", "-a", "--reflink=auto", f"{cloud.path('debian')}/.", self.root], check=True)
        else:
            self.like_this_one()
        for directory in ("run/rehearsal", "etc/crucible", "usr/local/sbin"):
            os.makedirs(self.path(directory), exist_ok=True)
        system = self.path("usr/bin/systemctl")
        if os.path.lexists(system):
            os.remove(system)
        shutil.copy(f"{HERE}/systemctl", system)
        if is_broken:
            shutil.copy(os.path.realpath(self.path("usr/bin/false")), self.path("usr/local/sbin/runsc"))
        self.write("run/rehearsal/user-data", user_data(cloud.directory, bundle))
        environment = {"S3": f"{MOTO}/releases-here", "SSM": f"{MOTO}/", "AWS_ENDPOINT_URL": MOTO, "INTERVAL": "0.2"}
        self.write("run/rehearsal/environment", "".join(f"{key}={value}\n" for key, value in environment.items()))
        command = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL"]
        self.process = cloud.start(f"{name}.console", [*command, "bash", f"{HERE}/machine.sh", self.root, name])
        number = until(f"the boot of {name}", lambda: read(self.path("run/rehearsal/namespace")), self.said)
        with open(cloud.path("namespaces"), "a") as file:
            file.write(f"{number}\n")
        until(f"user data of {name}", lambda: self.status() or self.process.poll() is not None, self.said)

    def like_this_one(self):
        """This system's files, which the machine cannot change, without what a fresh one has not."""
        above = self.cloud.path(f"{self.name}.above")
        os.mkdir(above)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", above], check=True)
        os.mkdir(f"{above}/files")
        os.mkdir(f"{above}/work")
        options = f"lowerdir=/,upperdir={above}/files,workdir={above}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", self.root], check=True)
        for directory in ("etc/crucible", "usr/local", "var/lib/crucible", "var/log", "run", "root", "tmp"):
            if os.path.isdir(self.path(directory)):
                subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", self.path(directory)], check=True)
        os.chmod(self.path("tmp"), 0o1777)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def status(self):
        return read(self.path("run/rehearsal/user-data.status")).strip()

    def log(self):
        return read(self.path("var/log/cloud-init-output.log"))

    def service(self, name):
        """How a service has ended, or nothing."""
        return read(self.path(f"run/rehearsal/crucible-{name}.service.status"))

    def said(self):
        console = read(self.cloud.path(f"{self.name}.console.log"))
        worker = read(self.path("var/log/crucible-worker.service.log"))
        return f"--- {self.name}: user data\n{self.log()}\n--- console\n{console}\n--- worker\n{worker}"

    def works(self):
        assert self.status() == "0", self.said()
        log = self.log()
        proof, start = "a program ran and its isolation was verified", "worker: the worker runs"
        assert proof in log and log.index(proof) < log.index(start), self.said()
        until(f"{self.name} to take work", lambda: self.name in self.cloud.workers(), self.said)

    def turn_off(self):
        self.write("run/rehearsal/poweroff", "")
        self.process.wait(TIMEOUT)
        assert self.service("worker") in ("0", ""), self.said()


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def refuses(cloud, bundle):
    machine = Machine(cloud, "broken", bundle, is_broken=True)
    assert machine.status() not in ("", "0"), machine.said()
    assert "gVisor is not proven: this machine takes no work" in machine.log(), machine.said()
    assert not os.path.lexists(machine.path("etc/systemd/system/multi-user.target.wants/crucible-worker.service"))
    assert not cloud.workers(), cloud.workers()
    machine.turn_off()
    reason = next((line for line in machine.log().splitlines() if line.startswith("MISSING")), "no reason")
    say(f"a machine whose runsc does nothing takes no work: {' '.join(reason.split())}")


def replace(cloud, former, name, bundle):
    machine = Machine(cloud, name, bundle)
    machine.works()
    former.turn_off()
    until("one worker", lambda: cloud.workers() == [name])
    cloud.runs_a_program()
    return machine


def spot_notice(cloud, machine):
    running = cloud.submit("import time\ntime.sleep(2)\nprint('to its end')")
    until("a running program", lambda: cloud.request("GET", f"/eval/{running}")["status"] == "running")
    open(cloud.notice, "w").close()
    ended = cloud.ended(running)
    assert (ended["outcome"], ended["stdout"]["text"], ended["attempt"]) == ("exited", "to its end\n", 1), ended
    until("the end of the worker", lambda: machine.service("worker"))
    assert machine.service("worker") == "0", machine.said()
    assert "draining" in read(machine.path("var/log/crucible-spot.service.log")), machine.said()
    waiting = cloud.submit("print('too late')")
    assert not cloud.workers(), cloud.workers()
    assert cloud.request("GET", f"/eval/{waiting}")["status"] == "queued"
    say("a spot notice drains the worker: what ran has ended, and what came later waits for another machine")
    machine.turn_off()


def main(directory, binary, *bundles):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # there is no way out of this network
    cloud = Cloud(directory, binary, bundles)
    refuses(cloud, bundles[0])
    machine = Machine(cloud, "first", bundles[0])
    machine.works()
    cloud.runs_a_program()
    say("user data proved gVisor, and the worker runs a program in it for the API")
    if len(bundles) > 1:
        for name, bundle in (("released", bundles[1]), ("rolled-back", bundles[0])):
            machine = replace(cloud, machine, name, bundle)
            release = read(machine.path("usr/local/lib/crucible/release")).strip()
            say(f"{name}: a machine with the release {release} took over, the former one has drained")
    spot_notice(cloud, machine)
    cloud.api.terminate()
    assert cloud.api.wait(TIMEOUT) == 0, read(cloud.path("api.log"))


main(*sys.argv[1:])
