-- The same table and rows as PostgreSQL's. A definition commits at once here, so each of these statements can run again
-- after a migration that was cut short.
CREATE TABLE IF NOT EXISTS templates (
    id         BIGINT   NOT NULL PRIMARY KEY CHECK (id >= 1),
    name       LONGTEXT NOT NULL,
    version    BIGINT   NOT NULL DEFAULT 1,
    updated_at BIGINT   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO templates (id, name, updated_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
SELECT n, CONCAT('Template ', n), 1767225600 FROM numbers;
