-- What was deleted, and at which version: a template that comes back goes on counting from there.
CREATE TABLE deleted_templates (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
);

CREATE TRIGGER templates_after_delete AFTER DELETE ON templates BEGIN
    INSERT OR REPLACE INTO deleted_templates VALUES (old.id, old.version + 1);
END;

CREATE TRIGGER templates_after_insert AFTER INSERT ON templates BEGIN
    DELETE FROM deleted_templates WHERE id = new.id;
END;
