//! Calling off what of a publish has not been sent.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;

use super::fault::Fault;
use super::session::Session;
use super::{columns, lookup, publishes, webhooks};
use crate::lookup::Cancelled;

/// How many retries one piece removes at most.
const RETRIES_MAX: i64 = 5_000;

/// Marks a publish, and removes its jobs and the wait for its time. Its number, if it had not finished.
///
/// Its retries go in pieces afterwards. Should that be cut short, those that are left are removed instead of claimed.
pub(super) async fn mark(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
    now: Timestamp,
) -> Result<(Cancelled, Option<i64>), Fault> {
    let Some((instance, number)) = lookup::number(session, instance, id).await? else {
        return Ok((Cancelled::Unknown, None));
    };
    // What lost its last work with a device is finished, though nobody has noted it yet.
    publishes::finish_emptied(session, now).await?;
    // Jobs before the publish, as whoever settles a last page has them.
    session
        .execute(
            "SELECT 1 FROM jobs WHERE publish = $1 ORDER BY job FOR UPDATE",
            &[&number],
        )
        .await?;
    let state: Option<String> = session
        .value(
            "SELECT state FROM publishes WHERE instance = $1 AND publish = $2 FOR NO KEY UPDATE",
            &[&instance, &number],
        )
        .await?;
    match state.as_deref() {
        None => return Ok((Cancelled::Unknown, None)),
        Some(publishes::FINISHED) => return Ok((Cancelled::Finished, None)),
        Some(publishes::CANCELLED) => return Ok((Cancelled::Done, Some(number))),
        Some(_) => {}
    }
    session
        .execute(
            "DELETE FROM scheduled WHERE instance = $1 AND publish = $2",
            &[&instance, &number],
        )
        .await?;
    session
        .execute("DELETE FROM jobs WHERE publish = $1", &[&number])
        .await?;
    publishes::end(session, instance, number, publishes::CANCELLED, now).await?;
    if state.as_deref() == Some(publishes::RUNNING) {
        webhooks::publish_ended(session, instance, number).await?;
    }
    Ok((Cancelled::Done, Some(number)))
}

/// Removes a piece of the retries. `true` when none is left.
pub(super) async fn remove_retries(session: &Session, number: i64) -> Result<bool, Fault> {
    let removed = session
        .execute(
            "DELETE FROM retries WHERE retry IN
                (SELECT retry FROM retries WHERE publish = $1 ORDER BY retry LIMIT $2 FOR UPDATE)",
            &[&number, &RETRIES_MAX],
        )
        .await?;
    Ok(columns::number(removed) < RETRIES_MAX)
}
