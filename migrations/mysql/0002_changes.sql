-- The last change of each template: to which version, whether it was a deletion, and when (UTC). A template that comes
-- back goes on counting from there, and replicas read here what has changed. One row per template, so it never grows.
CREATE TABLE IF NOT EXISTS template_changes (
    id         BIGINT      NOT NULL PRIMARY KEY,
    version    BIGINT      NOT NULL,
    deleted    BOOLEAN     NOT NULL,
    changed_at DATETIME(6) NOT NULL,
    KEY changed_at (changed_at)
) ENGINE = InnoDB;

-- TRUNCATE fires no trigger, so replicas would not hear of it. The server refuses it for a table that another refers to.
CREATE TABLE IF NOT EXISTS templates_are_not_truncated (
    id BIGINT NOT NULL PRIMARY KEY,
    FOREIGN KEY (id) REFERENCES templates (id)
) ENGINE = InnoDB;

-- Versions rise with every change, also with one made by hand. The row of changes is made and locked before it is read:
-- so a deletion that has not committed yet is waited for, and no gap is locked in which others insert.
DROP TRIGGER IF EXISTS templates_before_insert;
CREATE TRIGGER templates_before_insert BEFORE INSERT ON templates FOR EACH ROW
BEGIN
    DECLARE known BIGINT DEFAULT 0;
    INSERT INTO template_changes VALUES (NEW.id, 0, FALSE, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE id = NEW.id;
    SELECT version INTO known FROM template_changes WHERE id = NEW.id FOR UPDATE;
    SET NEW.version = GREATEST(NEW.version, known + 1);
END;

-- REPLACE deletes a row after the trigger above has read its version, so each template has a row of changes from the start.
INSERT IGNORE INTO template_changes SELECT id, version, FALSE, '2000-01-01' FROM templates;

DROP TRIGGER IF EXISTS templates_after_insert;
CREATE TRIGGER templates_after_insert AFTER INSERT ON templates FOR EACH ROW
    UPDATE template_changes SET version = NEW.version, deleted = FALSE, changed_at = UTC_TIMESTAMP(6) WHERE id = NEW.id;

DROP TRIGGER IF EXISTS templates_before_update;
CREATE TRIGGER templates_before_update BEFORE UPDATE ON templates FOR EACH ROW
BEGIN
    DECLARE known BIGINT DEFAULT 0;
    IF NEW.id <> OLD.id THEN
        INSERT INTO template_changes VALUES (NEW.id, 0, FALSE, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE id = NEW.id;
        SELECT version INTO known FROM template_changes WHERE id = NEW.id FOR UPDATE;
    END IF;
    SET NEW.version = GREATEST(NEW.version, OLD.version + 1, known + 1);
    IF NEW.updated_at = OLD.updated_at THEN
        SET NEW.updated_at = UNIX_TIMESTAMP();
    END IF;
END;

DROP TRIGGER IF EXISTS templates_after_update;
CREATE TRIGGER templates_after_update AFTER UPDATE ON templates FOR EACH ROW
BEGIN
    INSERT INTO template_changes VALUES (NEW.id, NEW.version, FALSE, UTC_TIMESTAMP(6))
        ON DUPLICATE KEY UPDATE version = NEW.version, deleted = FALSE, changed_at = UTC_TIMESTAMP(6);
    IF NEW.id <> OLD.id THEN
        INSERT INTO template_changes VALUES (OLD.id, OLD.version + 1, TRUE, UTC_TIMESTAMP(6))
            ON DUPLICATE KEY UPDATE version = OLD.version + 1, deleted = TRUE, changed_at = UTC_TIMESTAMP(6);
    END IF;
END;

DROP TRIGGER IF EXISTS templates_after_delete;
CREATE TRIGGER templates_after_delete AFTER DELETE ON templates FOR EACH ROW
    INSERT INTO template_changes VALUES (OLD.id, OLD.version + 1, TRUE, UTC_TIMESTAMP(6))
        ON DUPLICATE KEY UPDATE version = OLD.version + 1, deleted = TRUE, changed_at = UTC_TIMESTAMP(6);
