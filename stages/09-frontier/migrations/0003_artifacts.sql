-- The files that programs have left, each by its place in the list of its evaluation. Path and size are
-- in the record of the evaluation.

CREATE TABLE artifacts (
    evaluation BLOB NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (evaluation, number)
) STRICT, WITHOUT ROWID;
