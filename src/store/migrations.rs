//! Migrations as sqlx runs them, numbered in their order.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Migrations numbered in their order.
pub(super) fn migrator(
    migrations: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Migrator {
    let numbered = (1..).zip(migrations).map(|(number, (name, sql))| {
        Migration::new(
            number,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(numbered.collect());
    // A later release may have been here, and this one must be able to replace it again.
    migrator.set_ignore_missing(true);
    migrator
}
