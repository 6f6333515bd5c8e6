-- What is stored for each owner, so that the storage of one is no reason to delete what others have.

CREATE TABLE stored_by_owner (
    owner TEXT PRIMARY KEY,
    -- Evaluations that have ended, and their bytes.
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO stored_by_owner
    SELECT owner, count(*), sum(bytes) FROM evaluations WHERE last_event IS NOT NULL GROUP BY owner;
-- The first of an owner to end.
CREATE INDEX evaluations_by_owner_end ON evaluations (owner, last_event) WHERE last_event IS NOT NULL;

CREATE TRIGGER evaluation_stored AFTER INSERT ON evaluations WHEN NEW.last_event IS NOT NULL BEGIN
    INSERT INTO stored_by_owner VALUES (NEW.owner, 1, NEW.bytes)
        ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER evaluation_ended AFTER UPDATE OF last_event, bytes ON evaluations
    WHEN OLD.last_event IS NULL AND NEW.last_event IS NOT NULL BEGIN
    INSERT INTO stored_by_owner VALUES (NEW.owner, 1, NEW.bytes)
        ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER evaluation_changed AFTER UPDATE OF bytes ON evaluations
    WHEN OLD.last_event IS NOT NULL AND NEW.last_event IS NOT NULL BEGIN
    UPDATE stored_by_owner SET bytes = bytes + NEW.bytes - OLD.bytes WHERE owner = NEW.owner;
END;
CREATE TRIGGER evaluation_deleted AFTER DELETE ON evaluations WHEN OLD.last_event IS NOT NULL BEGIN
    UPDATE stored_by_owner SET entries = entries - 1, bytes = bytes - OLD.bytes WHERE owner = OLD.owner;
    DELETE FROM stored_by_owner WHERE owner = OLD.owner AND entries <= 0;
END;
