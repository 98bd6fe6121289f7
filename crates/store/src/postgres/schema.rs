//! Brings a database to the present schema.
//!
//! Migrations go forward only, and only add: nodes of the release before go on working on what they know. Those that a
//! database lacks are applied in one transaction under an advisory lock, so that nodes that start together do it once. Which
//! releases may still work on it is written beside the version; one that may not leaves the database alone.

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};

/// A step of the schema.
struct Migration {
    sql: &'static str,
    /// The oldest schema version whose programs may work on the database afterwards.
    oldest: i32,
}

impl Migration {
    /// One that programs of the first schema on need not know of.
    const fn beside(sql: &'static str) -> Self {
        Self { sql, oldest: 1 }
    }
}

/// In order; the number of a migration is its place, from one.
const MIGRATIONS: [Migration; 14] = [
    Migration::beside(include_str!("../../migrations/postgres/0001_first.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0002_cluster.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0003_moving.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0004_insights.sql")),
    Migration::beside(include_str!(
        "../../migrations/postgres/0005_administration.sql"
    )),
    Migration::beside(include_str!("../../migrations/postgres/0006_console.sql")),
    Migration::beside(include_str!(
        "../../migrations/postgres/0007_given_again.sql"
    )),
    Migration::beside(include_str!("../../migrations/postgres/0008_webhooks.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0009_node_keys.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0010_traces.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0011_tries.sql")),
    Migration::beside(include_str!("../../migrations/postgres/0012_activity.sql")),
    Migration::beside(include_str!(
        "../../migrations/postgres/0013_named_interests.sql"
    )),
    Migration::beside(include_str!(
        "../../migrations/postgres/0014_device_counts.sql"
    )),
];

/// The version of the schema that this program knows.
fn known() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS heliostat_schema (
    one     boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    -- How many migrations were applied.
    version integer NOT NULL,
    -- A program may work on this database if it knows at least this version.
    oldest  integer NOT NULL
)";

/// The version of the database and the oldest that may work on it; `None` where there is no Heliostat yet.
async fn found(session: &Session) -> Result<Option<(i32, i32)>, Fault> {
    let is_there: bool = session
        .known("SELECT to_regclass('heliostat_schema') IS NOT NULL", &[])
        .await?;
    if !is_there {
        return Ok(None);
    }
    let row = session
        .row("SELECT version, oldest FROM heliostat_schema", &[])
        .await?;
    row.map(|row| Ok((row.at(0)?, row.at(1)?))).transpose()
}

/// How many migrations a database has.
fn done(found: Option<(i32, i32)>) -> Result<usize, Fault> {
    let (version, oldest) = found.unwrap_or((0, 0));
    if oldest > known() {
        return Err(corrupt(format!(
            "the database has schema version {version}, for programs that know {oldest} or later, and this Heliostat knows \
             {}: it was brought there by a newer one",
            known()
        )));
    }
    usize::try_from(version).map_err(|_| corrupt(format!("schema version {version}")))
}

/// Applies what is lacking. One that has what it needs is not written to.
pub(super) async fn migrate(session: &Session) -> Result<(), Fault> {
    if done(found(session).await?)? >= MIGRATIONS.len() {
        return Ok(());
    }
    session.batch("BEGIN").await?;
    match apply(session).await {
        Ok(()) => session.batch("COMMIT").await,
        Err(fault) => {
            session.batch("ROLLBACK").await?;
            Err(fault)
        }
    }
}

async fn apply(session: &Session) -> Result<(), Fault> {
    // Of one schema at a time, by its name. Waiting for another node's migration is not waiting for a lock.
    session
        .batch("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        .await?;
    session
        .patiently("SELECT pg_advisory_xact_lock(hashtextextended('heliostat schema ' || current_schema(), 0))")
        .await?;
    session.batch(TABLE).await?;
    let from = done(found(session).await?)?;
    let Some(lacking) = MIGRATIONS.get(from..).filter(|lacking| !lacking.is_empty()) else {
        return Ok(());
    };
    for migration in lacking {
        session.patiently(migration.sql).await?;
    }
    let oldest = lacking
        .iter()
        .map(|migration| migration.oldest)
        .max()
        .unwrap_or(1);
    session
        .execute(
            "INSERT INTO heliostat_schema (version, oldest) VALUES ($1, $2)
             ON CONFLICT (one) DO UPDATE SET version = excluded.version, oldest = greatest(heliostat_schema.oldest, excluded.oldest)",
            &[&known(), &oldest],
        )
        .await?;
    tracing::info!(from, to = known(), "migrated the database");
    Ok(())
}
