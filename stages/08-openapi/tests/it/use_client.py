"""Uses a generated client against the live server whose address is given: types in, types out."""

import sys
from uuid import UUID

from crucible_client import Client
from crucible_client.api.evaluations import (
    cancel_evaluation,
    get_evaluation,
    list_evaluations,
    submit_evaluation,
)
from crucible_client.api.events import follow_evaluation
from crucible_client.api.platform import get_health, get_metrics, get_queue, get_status
from crucible_client.models import (
    Bytes,
    Evaluation,
    Files,
    Labels,
    Outcome,
    Problem,
    Status,
    Submission,
)

# A status that the contract does not have is an error here.
client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True, timeout=60)

# Submission and result are types.
files, labels = Files(), Labels()
files["data/in.bin"] = Bytes(base64="/wA=")
labels["model"] = "m-1"
code = "import sys; print(sys.stdin.read(), open('data/in.bin', 'rb').read())"
body = Submission(code=code, stdin="in", files=files, labels=labels, timeout_seconds=10)
ended = submit_evaluation.sync(client=client, body=body, prefer="wait=30")
assert isinstance(ended, Evaluation), ended
assert isinstance(ended.id, UUID) and ended.timing.finished_at.tzinfo is not None
assert (ended.status, ended.outcome) == (Status.COMPLETED, Outcome.EXITED), ended
assert ended.stdout.text == "in b'\\xff\\x00'\n", ended.stdout
assert ended.evidence.decided_by == "exit_status"
assert ended.labels["model"] == "m-1"

# It is found again, by its id and by its label, and its events are there.
assert get_evaluation.sync(ended.id, client=client) == ended
page = list_evaluations.sync(client=client, label="model:m-1", limit=5)
assert [item.id for item in page.items] == [ended.id] and page.next_cursor is None
events = follow_evaluation.sync(ended.id, client=client)
assert "event: evaluation.completed" in events, events

# One that runs is cancelled.
sleeping = submit_evaluation.sync(client=client, body=Submission(code="import time; time.sleep(60)"))
assert sleeping.outcome is None
cancelled = cancel_evaluation.sync(sleeping.id, client=client)
assert cancelled.status == Status.CANCELLED, cancelled

# An error is a type as well, with each single error in it.
wrong = submit_evaluation.sync(client=client, body=Submission(code="", timeout_seconds=0))
assert isinstance(wrong, Problem) and wrong.status == 422, wrong
assert [error.pointer for error in wrong.errors] == ["/timeout_seconds"]
nobody = get_evaluation.sync(UUID("00000000-0000-7000-8000-000000000000"), client=client)
assert isinstance(nobody, Problem) and nobody.status == 404, nobody

# And so is the state of the platform.
assert get_health.sync(client=client, ready=True).status == "alive"
assert get_status.sync(client=client).sandbox.engine == ended.sandbox.engine
assert get_queue.sync(client=client).capacity > 0
assert get_metrics.sync(client=client).endswith("# EOF\n")
print("all as the contract says")
