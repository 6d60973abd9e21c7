-- What was deleted, and at which version: a template that comes back goes on counting from there, so that for each id
-- a higher version always means a later state.
CREATE TABLE deleted_templates (
    id      BIGINT PRIMARY KEY,
    version BIGINT NOT NULL
);

-- Versions rise with every change, also with one made by hand.
CREATE FUNCTION templates_before_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := greatest(NEW.version, 1 + coalesce((SELECT version FROM deleted_templates WHERE id = NEW.id), 0));
    IF TG_OP = 'UPDATE' THEN
        NEW.version := greatest(NEW.version, OLD.version + 1);
        IF NEW.updated_at = OLD.updated_at THEN
            NEW.updated_at := extract(epoch FROM clock_timestamp())::bigint;
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- Every replica listens: "<id> <version>", or "*" for all of them.
CREATE FUNCTION templates_after_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    deleted_at BIGINT;
BEGIN
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id <> NEW.id) THEN
        INSERT INTO deleted_templates VALUES (OLD.id, OLD.version + 1)
            ON CONFLICT (id) DO UPDATE SET version = greatest(deleted_templates.version, excluded.version);
        PERFORM pg_notify('stampede_templates', OLD.id || ' ' || OLD.version + 1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        DELETE FROM deleted_templates WHERE id = NEW.id RETURNING version INTO deleted_at;
        PERFORM pg_notify('stampede_templates', NEW.id || ' ' || NEW.version);
        -- Deleted by somebody who had not committed yet when this row got its version.
        IF deleted_at >= NEW.version THEN
            UPDATE templates SET version = deleted_at + 1 WHERE id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION templates_before_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO deleted_templates SELECT id, version + 1 FROM templates
        ON CONFLICT (id) DO UPDATE SET version = greatest(deleted_templates.version, excluded.version);
    RETURN NULL;
END $$;

CREATE FUNCTION templates_after_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('stampede_templates', '*');
    RETURN NULL;
END $$;

CREATE TRIGGER templates_before_change BEFORE INSERT OR UPDATE ON templates
    FOR EACH ROW EXECUTE FUNCTION templates_before_change();
CREATE TRIGGER templates_after_change AFTER INSERT OR UPDATE OR DELETE ON templates
    FOR EACH ROW EXECUTE FUNCTION templates_after_change();
CREATE TRIGGER templates_before_truncate BEFORE TRUNCATE ON templates
    FOR EACH STATEMENT EXECUTE FUNCTION templates_before_truncate();
CREATE TRIGGER templates_after_truncate AFTER TRUNCATE ON templates
    FOR EACH STATEMENT EXECUTE FUNCTION templates_after_truncate();
