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
