-- Comparisons and verifications, each of which is a batch of two evaluations, and the last security test.

-- batch, comparison or verification.
ALTER TABLE batches ADD COLUMN kind TEXT NOT NULL DEFAULT 'batch';
-- What a comparison is of, as JSON.
ALTER TABLE batches ADD COLUMN detail TEXT NOT NULL DEFAULT '';

-- The second program of a verification, and what it has decided about the first.
CREATE TABLE verifications (
    batch BLOB PRIMARY KEY REFERENCES batches (id) ON DELETE CASCADE,
    -- The submission, and the request that made it. Empty once the evaluation is accepted.
    verifier TEXT NOT NULL,
    context TEXT NOT NULL,
    -- passed, failed or error. Null until it is decided.
    verdict TEXT,
    -- Why there is no verdict of the verifier.
    error TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX verifications_undecided ON verifications (batch) WHERE verdict IS NULL;

-- The last security test, as JSON.
CREATE TABLE security_test (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    test TEXT NOT NULL
) STRICT;
