-- One file for all files that a program has left, so that an evaluation costs one flush and not one for
-- each of them. Without it, as before, each is a file of its own.

ALTER TABLE artifacts ADD COLUMN pack TEXT;
