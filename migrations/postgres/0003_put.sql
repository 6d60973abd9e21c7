-- Puts a template and says what there is afterwards. An INSERT by itself does not know: while it waited for somebody who
-- was deleting the row, its version may have been given away, and a trigger has raised it behind RETURNING.
CREATE FUNCTION put_template(put_id BIGINT, put_name TEXT, put_at BIGINT)
RETURNS TABLE (put_as TEXT, put_version BIGINT, put_updated_at BIGINT) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO templates (id, name, updated_at) VALUES (put_id, put_name, put_at)
        ON CONFLICT (id) DO UPDATE
        SET name = excluded.name, version = templates.version + 1, updated_at = excluded.updated_at;
    RETURN QUERY SELECT name, version, updated_at FROM templates WHERE id = put_id;
END $$;
