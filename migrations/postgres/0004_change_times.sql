-- Every replica listens: "<id> <version> <microseconds since the epoch>", or "*" for all templates. A channel of its own:
-- replicas of earlier releases listen to the other one, and would not understand the time.
CREATE OR REPLACE FUNCTION templates_after_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    deleted_at BIGINT;
    changed_at BIGINT := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id <> NEW.id) THEN
        INSERT INTO deleted_templates VALUES (OLD.id, OLD.version + 1)
            ON CONFLICT (id) DO UPDATE SET version = greatest(deleted_templates.version, excluded.version);
        PERFORM pg_notify('stampede_templates', OLD.id || ' ' || OLD.version + 1);
        PERFORM pg_notify('stampede_changes', OLD.id || ' ' || OLD.version + 1 || ' ' || changed_at);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        DELETE FROM deleted_templates WHERE id = NEW.id RETURNING version INTO deleted_at;
        PERFORM pg_notify('stampede_templates', NEW.id || ' ' || NEW.version);
        PERFORM pg_notify('stampede_changes', NEW.id || ' ' || NEW.version || ' ' || changed_at);
        -- Deleted by a transaction that had not committed yet when this row got its version.
        IF deleted_at >= NEW.version THEN
            UPDATE templates SET version = deleted_at + 1 WHERE id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION templates_after_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('stampede_templates', '*');
    PERFORM pg_notify('stampede_changes', '*');
    RETURN NULL;
END $$;
