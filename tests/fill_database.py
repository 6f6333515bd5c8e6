#!/usr/bin/env python3
"""Fills the data directory of stage 09 with ended evaluations, to measure its list.

    fill_database.py DIRECTORY COUNT

The directory is one that the stage has created, with at least one evaluation that has ended: its record is the
pattern of all others. The server must not run. A server on it needs limits that are high enough, such as
--storage-entries 10000000 --storage-bytes 100000000000, and deletes what is beyond them otherwise.
"""

import json
import os
import sqlite3
import sys
import uuid

OUTCOMES = ["exited", "exited", "exited", "exited", "signaled", "memory_exceeded", "wall_time_exceeded", "cancelled"]
STATUSES = {"exited": "completed", "signaled": "completed", "cancelled": "cancelled"}
STEP = 20_000
# Between two acceptances, in milliseconds, so that a million took a day.
INTERVAL_MS = 86


def uuid7(millis):
    """An id of this time, by RFC 9562."""
    value = int.from_bytes(millis.to_bytes(6, "big") + os.urandom(10), "big")
    value &= ~(0xF000 << 64) & ~(0xC000 << 48)
    return uuid.UUID(int=value | (0x7000 << 64) | (0x8000 << 48))


def rows(pattern, count, first_ms, first_event):
    """Evaluations and labels, the oldest first."""
    for number in range(count):
        outcome = OUTCOMES[number % len(OUTCOMES)]
        status = STATUSES.get(outcome, "failed")
        id = uuid7(first_ms + number * INTERVAL_MS)
        labels = {"suite": f"s{number % 100}", "run": str(number % 1000)}
        record = dict(pattern, id=str(id), status=status, outcome=outcome, labels=labels)
        nanos = (first_ms + number * INTERVAL_MS) * 1_000_000
        text = json.dumps(record, separators=(",", ":"))
        size = 2048 + len(text)
        evaluation = (id.bytes, status, outcome, "", 1, nanos, nanos, text, size, first_event + number)
        yield evaluation, [(key, value, outcome, id.bytes, "") for key, value in labels.items()], size


def main(directory, count):
    db = sqlite3.connect(os.path.join(directory, "crucible.db"), isolation_level=None)
    found = db.execute("SELECT record, submitted_at FROM evaluations WHERE outcome IS NOT NULL LIMIT 1").fetchone()
    if found is None:
        sys.exit(f"{directory} has no evaluation that has ended: run one first")
    # Older than everything that is there.
    first_ms = found[1] // 1_000_000 - (count + 1) * INTERVAL_MS
    first_event = -count
    pending, total = [], 0

    def write():
        nonlocal total
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO evaluations (id, status, outcome, owner, attempt, submitted_at, ended_at, record, bytes,"
            " last_event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [row for row, _, _ in pending])
        db.executemany("INSERT INTO labels VALUES (?, ?, ?, ?, ?)", [one for _, labels, _ in pending for one in labels])
        for name, change in (("entries", len(pending)), ("bytes", sum(size for _, _, size in pending))):
            db.execute("UPDATE counters SET value = value + ? WHERE name = ?", (change, name))
        db.execute("COMMIT")
        total += len(pending)
        pending.clear()
        print(f"\r{total} of {count}", end="", file=sys.stderr, flush=True)

    for row in rows(json.loads(found[0]), count, first_ms, first_event):
        pending.append(row)
        if len(pending) == STEP:
            write()
    write()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"\r{total} evaluations in {directory}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]))
