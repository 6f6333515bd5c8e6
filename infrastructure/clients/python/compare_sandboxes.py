"""Measures sandboxes that stay beside `docker exec` into containers of runc and of runsc, on one machine, in turns.

`just sandbox-speed` runs it. All run the command `true` of the same environment.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from crucible_client import Client

FIRST_COMMAND_MS = 60
"""Create to the output of the first command, at most."""
OF_RUNC, OF_RUNSC = 1.3, 0.3
"""An execution in times of one by `docker exec`, at most."""
REFILL_SECONDS = 2.0
"""After a sandbox is taken the pool starts another, which would share the processors with what is measured."""


def millis(run: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def container(image: str, runtime: str) -> str:
    """A container that waits for commands."""
    command = ["docker", "run", "--detach", "--rm", f"--runtime={runtime}", "--network=none", image, "sleep", "1000"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def first_command(client: Client) -> float:
    """A new sandbox and its first command."""
    started = time.perf_counter()
    with client.create_sandbox(environment="agent") as sandbox:
        assert sandbox.exec(["echo", "first"]).stdout.text == "first\n"
        return (time.perf_counter() - started) * 1000


def quantiles(values: list[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=20)[-1]


def main() -> int:
    """Runs the comparison, prints it, and says what was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, help="the environment `agent` as an image of Docker")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each [default: %(default)s]")
    parser.add_argument(
        "--burst", type=int, default=50, help="sandboxes that are created at once [default: %(default)s]"
    )
    options = parser.parse_args()
    missed = []
    containers = {runtime: container(options.image, runtime) for runtime in ("runc", "runsc")}
    try:
        with Client() as client:
            first = []
            for _ in range(options.rounds):
                time.sleep(REFILL_SECONDS)
                first.append(first_command(client))
            print("create to first output  p50 {:.1f} ms, p95 {:.1f} ms".format(*quantiles(first)))
            if statistics.median(first) > FIRST_COMMAND_MS:
                missed.append("create to first output")
            turns: dict[str, list[float]] = {"sandbox": [], "runc": [], "runsc": []}
            with client.create_sandbox(environment="agent") as sandbox:
                time.sleep(REFILL_SECONDS)
                for _ in range(options.rounds):
                    turns["sandbox"].append(millis(lambda: sandbox.exec(["true"])))
                    for runtime, name in containers.items():
                        run = ["docker", "exec", name, "true"]
                        turns[runtime].append(millis(lambda run=run: subprocess.run(run, check=True)))
            medians = {name: statistics.median(values) for name, values in turns.items()}
            for name, (p50, p95) in {name: quantiles(values) for name, values in turns.items()}.items():
                print(f"exec of true, {name:8} p50 {p50:.1f} ms, p95 {p95:.1f} ms")
            for runtime, most in (("runc", OF_RUNC), ("runsc", OF_RUNSC)):
                ratio = medians["sandbox"] / medians[runtime]
                print(f"a sandbox takes {ratio:.2f} x docker exec with {runtime}, of at most {most}")
                if ratio > most:
                    missed.append(f"an execution beside {runtime}")
        with ThreadPoolExecutor(options.burst) as executor, Client() as client:
            burst = list(executor.map(lambda _: first_command(client), range(options.burst)))
            print("burst of {}: first output p50 {:.0f} ms, p95 {:.0f} ms".format(options.burst, *quantiles(burst)))
    finally:
        subprocess.run(["docker", "rm", "--force", *containers.values()], check=True, capture_output=True)
    for what in missed:
        print(f"MISSED {what}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
