-- Keys, their limits, the audit log, idempotency keys and batches. Times are microseconds since 1970.

CREATE TABLE keys (
    -- The owner of what the key submits. No secret.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- The SHA-256 of the key, which itself is stored nowhere.
    digest BLOB NOT NULL UNIQUE,
    -- A bit for each scope.
    scopes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Who did what, and when. Each row has the hash of the one before it.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    -- The id of a key, command-line, or anonymous.
    actor TEXT NOT NULL,
    peer TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO counters VALUES ('audit_rows', 0);

-- Idempotency keys, by their SHA-256, for each owner; the empty string stands for no owner.
CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key BLOB NOT NULL,
    -- The SHA-256 of the request.
    fingerprint BLOB NOT NULL,
    -- evaluation or batch.
    kind TEXT NOT NULL,
    -- The id of what the request makes, chosen before it is made.
    resource BLOB NOT NULL,
    is_done INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Evaluations that were submitted together.
CREATE TABLE batches (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- 0 until its evaluations are accepted: a crash in between leaves neither.
    is_accepted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE batch_members (
    batch BLOB NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    evaluation BLOB NOT NULL,
    PRIMARY KEY (batch, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_pending ON batches (is_accepted) WHERE is_accepted = 0;

-- Processor time of each key on each day (days since 1970), in milliseconds.
CREATE TABLE key_usage (
    key TEXT NOT NULL,
    day INTEGER NOT NULL,
    cpu_ms INTEGER NOT NULL,
    PRIMARY KEY (key, day)
) STRICT, WITHOUT ROWID;
