-- The same table and rows as PostgreSQL's.
CREATE TABLE templates (
    id         INTEGER PRIMARY KEY CHECK (id >= 1),
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at INTEGER NOT NULL
);

WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
INSERT INTO templates (id, name, updated_at)
SELECT n, 'Template ' || n, 1767225600 FROM numbers;
