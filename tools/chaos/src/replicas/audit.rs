//! [`States`]: every state that each template has really had, as triggers in the database noted it in the transaction
//! that made it. An answer is compared with this, whatever the service says.

use std::collections::{BTreeMap, HashMap};

use testkit::{mysql, postgres};

use super::clock::Clock;
use super::database::Kind;

/// What is noted is gone with the transaction. The names put the notes behind the service's own triggers, which may
/// change a row again before its transaction ends: of such a transaction only the last state of a row counts.
const NOTES: &str = "
CREATE TABLE chaos_states (
    id BIGINT NOT NULL, version BIGINT NOT NULL, name TEXT,
    change BIGINT NOT NULL DEFAULT txid_current(),
    at BIGINT NOT NULL DEFAULT extract(epoch FROM clock_timestamp()) * 1e6);
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos_states (id, version) VALUES (OLD.id, OLD.version + 1);
    ELSE
        INSERT INTO chaos_states (id, version, name) VALUES (NEW.id, NEW.version, NEW.name);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION chaos_note_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_states (id, version) SELECT id, version + 1 FROM templates;
    RETURN NULL;
END $$;
CREATE TRIGGER zz_chaos_note AFTER INSERT OR UPDATE OR DELETE ON templates
    FOR EACH ROW EXECUTE FUNCTION chaos_note();
CREATE TRIGGER zz_chaos_note_all BEFORE TRUNCATE ON templates
    FOR EACH STATEMENT EXECUTE FUNCTION chaos_note_all();
INSERT INTO chaos_states (id, version, name) SELECT id, version, name FROM templates;";

/// The same on MySQL, where no trigger changes a row after it was noted, and what empties the table is a deletion.
const NOTES_IN_MYSQL: &str = "
CREATE TABLE chaos_states (
    number BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL, version BIGINT NOT NULL, name TEXT,
    at BIGINT NOT NULL);
CREATE TRIGGER chaos_insert AFTER INSERT ON templates FOR EACH ROW
    INSERT INTO chaos_states (id, version, name, at)
    VALUES (NEW.id, NEW.version, NEW.name, UNIX_TIMESTAMP(SYSDATE(6)) * 1e6);
CREATE TRIGGER chaos_update AFTER UPDATE ON templates FOR EACH ROW
    INSERT INTO chaos_states (id, version, name, at)
    VALUES (NEW.id, NEW.version, NEW.name, UNIX_TIMESTAMP(SYSDATE(6)) * 1e6);
CREATE TRIGGER chaos_delete AFTER DELETE ON templates FOR EACH ROW
    INSERT INTO chaos_states (id, version, at) VALUES (OLD.id, OLD.version + 1, UNIX_TIMESTAMP(SYSDATE(6)) * 1e6);
INSERT INTO chaos_states (id, version, name, at)
    SELECT id, version, name, UNIX_TIMESTAMP(SYSDATE(6)) * 1e6 FROM templates;";

const STATES_IN_MYSQL: &str = "SELECT id, version, name, at FROM chaos_states ORDER BY number";

const STATES: &str = "SELECT DISTINCT ON (id, change) id, version, name, at FROM chaos_states \
                      ORDER BY id, change, version DESC";

/// Template, version, name, and when.
type Note = (i64, i64, Option<String>, i64);

/// The states of one template by version.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<i64, State>);

/// One state.
#[derive(Debug)]
pub(crate) struct State {
    /// None while there was no such template.
    pub(crate) name: Option<String>,
    /// When its transaction was under way, by the checker's clock.
    pub(crate) at: u64,
}

/// Begins to take notes; what there is by then is noted too.
pub(crate) async fn take_notes(url: &str) {
    match Kind::at(url) {
        Kind::Postgres => postgres::execute(url, NOTES).await,
        Kind::MySql => mysql::execute(url, NOTES_IN_MYSQL).await,
    }
}

/// All that was noted, by template; and what is wrong with it in itself.
pub(crate) async fn read_notes(url: &str, clock: Clock) -> (HashMap<i64, States>, Vec<String>) {
    let rows: Result<Vec<Note>, sqlx::Error> = match Kind::at(url) {
        Kind::Postgres => {
            let mut session = postgres::session(url).await;
            sqlx::query_as(STATES).fetch_all(&mut session).await
        }
        Kind::MySql => {
            let mut session = mysql::session(url).await;
            sqlx::query_as(STATES_IN_MYSQL)
                .fetch_all(&mut session)
                .await
        }
    };
    let rows = rows.expect("the database is well at the end");
    let (mut templates, mut wrong) = (HashMap::<_, States>::new(), Vec::new());
    for (id, version, name, at) in rows {
        let at = clock.at_epoch(at);
        if !templates.entry(id).or_default().add(version, name, at) {
            wrong.push(format!("template {id} had two states of version {version}"));
        }
    }
    (templates, wrong)
}

impl States {
    /// Adds a state; false if there is one of this version.
    pub(crate) fn add(&mut self, version: i64, name: Option<String>, at: u64) -> bool {
        self.0.insert(version, State { name, at }).is_none()
    }

    /// The state of this version.
    pub(crate) fn of(&self, version: i64) -> Option<&State> {
        self.0.get(&version)
    }

    /// The version that has this name.
    pub(crate) fn named(&self) -> HashMap<&str, i64> {
        self.0
            .iter()
            .filter_map(|(version, state)| Some((state.name.as_deref()?, *version)))
            .collect()
    }

    /// The first version from this one on in which there was no such template.
    pub(crate) fn absent_from(&self, version: i64) -> Option<i64> {
        let absent = |(_, state): &(&i64, &State)| state.name.is_none();
        self.0
            .range(version..)
            .find(absent)
            .map(|(version, _)| *version)
    }

    /// The last version in which there was no such template at that time.
    pub(crate) fn last_absent(&self, until: u64) -> Option<i64> {
        let absent = |(_, state): &(&i64, &State)| state.name.is_none() && state.at <= until;
        self.0
            .iter()
            .rev()
            .find(absent)
            .map(|(version, _)| *version)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
