//! The audit log: what was done by whom, appended, read backwards, and cut off at its end.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::user::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns;
use super::fault::Fault;
use super::session::{Columns as _, Session};
use crate::administration::{
    AdminTokenId, AuditEntry, AuditFilter, AuditId, AuditOutcome, NewAuditEntry,
};
use crate::stored::administration::{outcome_of, words};

pub(super) async fn append(
    session: &Session,
    entry: &NewAuditEntry,
    outcome: &AuditOutcome,
) -> Result<AuditId, Fault> {
    let (outcome, reason) = words(outcome);
    session
        .known(
            "INSERT INTO audit (at, actor, token, token_name, action, instance, subject, user_id, outcome, reason)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING entry",
            &[
                &entry.at.as_millis(),
                &entry.actor,
                &entry.token.map(|token| token.0),
                &entry.token_name,
                &entry.action,
                &entry.instance.map(|id| *id.as_uuid()),
                &entry.subject,
                &entry.user.as_ref().map(UserId::as_str),
                &outcome,
                &reason,
            ],
        )
        .await
        .map(AuditId)
}

pub(super) async fn conclude(
    session: &Session,
    id: AuditId,
    outcome: &AuditOutcome,
) -> Result<(), Fault> {
    let (outcome, reason) = words(outcome);
    session
        .execute(
            "UPDATE audit SET outcome = $2, reason = $3 WHERE entry = $1",
            &[&id.0, &outcome, &reason],
        )
        .await?;
    Ok(())
}

fn read(row: &Row) -> Result<AuditEntry, Fault> {
    let instance: Option<Uuid> = row.at(6)?;
    let user: Option<String> = row.at(8)?;
    Ok(AuditEntry {
        id: AuditId(row.at(0)?),
        entry: NewAuditEntry {
            at: Timestamp::from_millis(row.at(1)?),
            actor: row.at(2)?,
            token: row.at::<Option<i64>>(3)?.map(AdminTokenId),
            token_name: row.at(4)?,
            action: row.at(5)?,
            instance: instance.map(InstanceId::from_uuid),
            subject: row.at(7)?,
            user: user.map(columns::user).transpose()?,
        },
        outcome: outcome_of(row.at(9)?, row.at(10)?)?,
    })
}

/// One text for each combination, so that each finds its index.
fn page_sql(filter: &AuditFilter) -> &'static str {
    match (filter.instance.is_some(), filter.user.is_some()) {
        (false, false) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user_id, outcome, reason
               FROM audit WHERE entry < $1 AND $3::uuid IS NULL AND $4::text IS NULL ORDER BY entry DESC LIMIT $2"
        }
        (true, false) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user_id, outcome, reason
               FROM audit WHERE entry < $1 AND instance = $3 AND $4::text IS NULL ORDER BY entry DESC LIMIT $2"
        }
        (true, true) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user_id, outcome, reason
               FROM audit WHERE entry < $1 AND instance = $3 AND user_id = $4 ORDER BY entry DESC LIMIT $2"
        }
        (false, true) => {
            "SELECT entry, at, actor, token, token_name, action, instance, subject, user_id, outcome, reason
               FROM audit WHERE entry < $1 AND $3::uuid IS NULL AND user_id = $4 ORDER BY entry DESC LIMIT $2"
        }
    }
}

pub(super) async fn page(
    session: &Session,
    filter: &AuditFilter,
    after: Option<AuditId>,
    limit: usize,
) -> Result<Vec<AuditEntry>, Fault> {
    let rows = session
        .rows(
            page_sql(filter),
            &[
                &after.map_or(i64::MAX, |after| after.0),
                &columns::limit(limit),
                &filter.instance.map(|id| *id.as_uuid()),
                &filter.user.as_ref().map(UserId::as_str),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn prune(
    session: &Session,
    before: Timestamp,
    limit: usize,
) -> Result<u64, Fault> {
    session
        .execute(
            "DELETE FROM audit WHERE entry IN
                (SELECT entry FROM audit WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            &[&before.as_millis(), &columns::limit(limit)],
        )
        .await
}

/// Calls a user something else in all entries. How many there were.
pub(super) async fn pseudonymise(
    session: &Session,
    instance: InstanceId,
    user: &UserId,
    pseudonym: &UserId,
) -> Result<u64, Fault> {
    session
        .execute(
            "UPDATE audit SET user_id = $3 WHERE instance = $1 AND user_id = $2",
            &[instance.as_uuid(), &user.as_str(), &pseudonym.as_str()],
        )
        .await
}
