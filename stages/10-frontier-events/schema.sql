-- The tables of stage 10, beside those of stage 09, which does not know them.

-- Where durable subscribers of the event bus are.
CREATE TABLE IF NOT EXISTS bus_cursors (
    name   TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

-- Webhooks: of clients, and those of the rule file, whose id begins with "rule-".
CREATE TABLE IF NOT EXISTS webhooks (
    id           TEXT PRIMARY KEY,
    owner        TEXT,                       -- the id of a key; null where no key is needed
    sees_all     INTEGER NOT NULL,           -- false: events of the owner's evaluations only
    url          TEXT NOT NULL,
    topics       TEXT NOT NULL,              -- a JSON array
    secret       TEXT NOT NULL,
    old_secret   TEXT,                       -- signs as well until old_until
    old_until    INTEGER,
    created_at   INTEGER NOT NULL,           -- times are nanoseconds since 1970
    delivered    INTEGER NOT NULL DEFAULT 0,
    dropped      INTEGER NOT NULL DEFAULT 0, -- events beyond the limit of deliveries
    pending      INTEGER NOT NULL DEFAULT 0  -- rows of webhook_deliveries
) STRICT;

-- What was not delivered yet. A row is removed when its event was delivered.
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL,                -- the header webhook-id, the same at each attempt
    webhook    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,             -- when it was queued, or queued again
    due_at     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    parked     INTEGER NOT NULL DEFAULT 0,
    error      TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS webhook_deliveries_due ON webhook_deliveries (parked, due_at);
CREATE INDEX IF NOT EXISTS webhook_deliveries_webhook ON webhook_deliveries (webhook, parked, number);
CREATE INDEX IF NOT EXISTS webhook_deliveries_turn ON webhook_deliveries (parked, webhook, due_at, number);

-- Bytes of the bodies of each webhook, from the rows above where an earlier version has left some.
CREATE TABLE IF NOT EXISTS webhook_backlogs (
    webhook TEXT PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO webhook_backlogs
    SELECT webhook, sum(octet_length(body)) FROM webhook_deliveries GROUP BY webhook;
