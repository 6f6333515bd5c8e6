-- Evaluations, their attempts, their labels, and the event log, which is the outbox.
--
-- Ids are the 16 bytes of a UUIDv7, so that their order is the order of acceptance. Times are
-- nanoseconds since 1970. Each list has an index that ends with the id, so that a page is a range.

CREATE TABLE evaluations (
    -- The order in which evaluations were accepted, and run after a restart.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    -- queued, running, or the final status.
    status TEXT NOT NULL,
    -- Null until it has ended.
    outcome TEXT,
    -- The empty string stands for no owner, so that an index has every evaluation.
    owner TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    ended_at INTEGER,
    -- The evaluation as JSON, without outputs that are in files.
    record TEXT NOT NULL,
    -- The digests of outputs that are in files.
    stdout_file TEXT,
    stderr_file TEXT,
    -- What it counts towards the limit of the storage.
    bytes INTEGER NOT NULL,
    -- The number of its last event: the order in which evaluations ended. Null until then.
    last_event INTEGER,
    -- The highest number of an event of it that was dropped.
    dropped_event INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX evaluations_by_outcome ON evaluations (outcome, id) WHERE outcome IS NOT NULL;
CREATE INDEX evaluations_by_owner ON evaluations (owner, outcome, id) WHERE outcome IS NOT NULL;
CREATE INDEX evaluations_by_end ON evaluations (last_event) WHERE last_event IS NOT NULL;
CREATE INDEX evaluations_live ON evaluations (number) WHERE outcome IS NULL;

-- What was submitted, for as long as it may have to run again.
CREATE TABLE submissions (
    evaluation BLOB PRIMARY KEY REFERENCES evaluations (id) ON DELETE CASCADE,
    submission TEXT NOT NULL,
    max_attempts INTEGER NOT NULL,
    -- The request that submitted it.
    context TEXT NOT NULL
) STRICT;

-- Each run of an evaluation, the lost ones included.
CREATE TABLE attempts (
    evaluation BLOB NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    -- Null while it runs.
    outcome TEXT,
    started_at INTEGER,
    finished_at INTEGER,
    -- Where it ran, what decided its outcome, and what went wrong, as JSON.
    detail TEXT NOT NULL,
    PRIMARY KEY (evaluation, attempt)
) STRICT, WITHOUT ROWID;

-- The labels of evaluations that have ended, with what a list can filter by.
CREATE TABLE labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    outcome TEXT NOT NULL,
    id BLOB NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    owner TEXT NOT NULL,
    PRIMARY KEY (key, value, outcome, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_owner ON labels (owner, key, value, outcome, id);
CREATE INDEX labels_by_evaluation ON labels (id);

-- Every event, by its number. Numbers are never used twice, not even after a deletion.
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject BLOB,
    kind TEXT NOT NULL,
    time INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_subject ON events (subject, number) WHERE subject IS NOT NULL;

-- The files of large outputs, and how many evaluations refer to each.
CREATE TABLE files (
    digest TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    uses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counters, each changed in the transaction that it counts.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Evaluations that have ended, and their bytes; the highest number of an event that was deleted.
INSERT INTO counters VALUES ('entries', 0), ('bytes', 0), ('dropped_event', 0);
