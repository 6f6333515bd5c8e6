-- Sandboxes that stay. One without an end belongs to the server that runs; the next one ends it.

CREATE TABLE sandboxes (
    id BLOB PRIMARY KEY,
    -- The id of its key; empty on a server without keys.
    owner TEXT NOT NULL,
    -- Environment, limits, user and engine, as JSON.
    fixed TEXT NOT NULL,
    -- An object of texts, as JSON.
    labels TEXT NOT NULL,
    -- Microseconds since 1970.
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    lifetime_seconds INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sandboxes_by_owner ON sandboxes (owner, id);
CREATE INDEX sandboxes_live ON sandboxes (id) WHERE ended_at IS NULL;
