-- One row per template. `version` and `updated_at` (seconds since the Unix epoch) name one state of it.
CREATE TABLE templates (
    id         BIGINT PRIMARY KEY CHECK (id >= 1),
    name       TEXT   NOT NULL,
    version    BIGINT NOT NULL DEFAULT 1,
    updated_at BIGINT NOT NULL
);

-- Every id that the load test asks for exists.
INSERT INTO templates (id, name, updated_at)
SELECT n, 'Template ' || n, 1767225600 FROM generate_series(1, 100) AS n;
