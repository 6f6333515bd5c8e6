"""Uses a client of stage 10's contract against the live server whose address is given."""

import importlib
import sys

from crucible_client import Client
from crucible_client.api.batches import get_batch_results, submit_batch
from crucible_client.api.webhooks import list_webhooks
from crucible_client.models import Batch, BatchSubmission, Page, Submission, Webhooks

# The server has no keys yet, and answers every program of its machine.
client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True, timeout=60)

KEY = '"one-request-once"'
programs = [Submission(code=f"print({number})") for number in range(2)]
batch = submit_batch.sync(client=client, body=BatchSubmission(evaluations=programs), idempotency_key=KEY)
assert isinstance(batch, Batch) and batch.total == 2, batch
again = submit_batch.sync(client=client, body=BatchSubmission(evaluations=programs), idempotency_key=KEY)
assert again.id == batch.id, (again, batch)
page = get_batch_results.sync(batch.id, client=client)
assert isinstance(page, Page) and [item.id for item in page.items] == batch.evaluations, page

webhooks = list_webhooks.sync(client=client)
assert isinstance(webhooks, Webhooks) and webhooks.items == [], webhooks

# Operations whose body is bytes are there as well.
for operation in ("sandboxes.write_file", "sandboxes.write_directory", "sandboxes.send_stdin"):
    importlib.import_module(f"crucible_client.api.{operation}")

print("all as the contract says")
