//! The audit log: what was done by whom, appended, read backwards, and cut off at its end.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::user::UserId;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::columns;
use crate::StoreError;
use crate::administration::{
    AdminTokenId, AuditEntry, AuditFilter, AuditId, AuditOutcome, NewAuditEntry,
};
use crate::stored::administration::{outcome_of, words};

pub(super) fn append(
    connection: &Connection,
    entry: &NewAuditEntry,
    outcome: &AuditOutcome,
) -> Result<AuditId, StoreError> {
    let (outcome, reason) = words(outcome);
    Ok(connection
        .prepare_cached(
            "INSERT INTO audit (at, actor, token, token_name, action, instance, subject, user, outcome, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING entry",
        )?
        .query_row(
            params![
                entry.at.as_millis(),
                entry.actor,
                entry.token.map(|token| token.0),
                entry.token_name,
                entry.action,
                entry.instance.map(|id| *id.as_uuid().as_bytes()),
                entry.subject,
                entry.user.as_ref().map(UserId::as_str),
                outcome,
                reason,
            ],
            |row| row.get(0).map(AuditId),
        )?)
}

pub(super) fn conclude(
    connection: &Connection,
    id: AuditId,
    outcome: &AuditOutcome,
) -> Result<(), StoreError> {
    let (outcome, reason) = words(outcome);
    connection
        .prepare_cached("UPDATE audit SET outcome = ?2, reason = ?3 WHERE entry = ?1")?
        .execute(params![id.0, outcome, reason])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    let instance: Option<[u8; 16]> = row.get(6)?;
    let user: Option<String> = row.get(8)?;
    Ok(AuditEntry {
        id: AuditId(row.get(0)?),
        entry: NewAuditEntry {
            at: Timestamp::from_millis(row.get(1)?),
            actor: row.get(2)?,
            token: row.get::<_, Option<i64>>(3)?.map(AdminTokenId),
            token_name: row.get(4)?,
            action: row.get(5)?,
            instance: instance.map(|id| InstanceId::from_uuid(Uuid::from_bytes(id))),
            subject: row.get(7)?,
            user: user.map(columns::user).transpose()?,
        },
        outcome: outcome_of(row.get_ref(9)?.as_str()?, row.get(10)?)?,
    })
}

/// One text for each combination, so that each finds its index.
fn page_sql(filter: &AuditFilter) -> &'static str {
    match (filter.instance.is_some(), filter.user.is_some()) {
        (false, false) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user, outcome, reason
               FROM audit WHERE entry < ?1 AND ?3 IS NULL AND ?4 IS NULL ORDER BY entry DESC LIMIT ?2"
        }
        (true, false) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user, outcome, reason
               FROM audit WHERE entry < ?1 AND instance = ?3 AND ?4 IS NULL ORDER BY entry DESC LIMIT ?2"
        }
        (true, true) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user, outcome, reason
               FROM audit WHERE entry < ?1 AND instance = ?3 AND user = ?4 ORDER BY entry DESC LIMIT ?2"
        }
        (false, true) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user, outcome, reason
               FROM audit WHERE entry < ?1 AND ?3 IS NULL AND user = ?4 ORDER BY entry DESC LIMIT ?2"
        }
    }
}

pub(super) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    after: Option<AuditId>,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut statement = connection.prepare_cached(page_sql(filter))?;
    let mut rows = statement.query(params![
        after.map_or(i64::MAX, |after| after.0),
        columns::limit(limit),
        filter.instance.map(|id| *id.as_uuid().as_bytes()),
        filter.user.as_ref().map(UserId::as_str),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

pub(super) fn prune(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let pruned = connection
        .prepare_cached(
            "DELETE FROM audit WHERE entry IN (SELECT entry FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute([before.as_millis(), columns::limit(limit)])?;
    Ok(u64::try_from(pruned).unwrap_or(u64::MAX))
}

/// Calls a user something else in all entries. How many there were.
pub(super) fn pseudonymise(
    connection: &Connection,
    instance: InstanceId,
    user: &UserId,
    pseudonym: &UserId,
) -> Result<u64, StoreError> {
    let changed = connection
        .prepare_cached("UPDATE audit SET user = ?3 WHERE instance = ?1 AND user = ?2")?
        .execute(params![
            instance.as_uuid().as_bytes(),
            user.as_str(),
            pseudonym.as_str()
        ])?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}
