//! Publishes that wait for their time, and their beginning.

use domain::clock::Timestamp;
use domain::publish::Audience;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{audience, columns, jobs, publishes, webhooks};
use crate::publishes::Plan;
use crate::stored::encode;

pub(super) async fn insert(
    session: &Session,
    instance: i64,
    publish: i64,
    send_at: Timestamp,
    audience: &str,
) -> Result<(), Fault> {
    session
        .execute(
            "INSERT INTO scheduled (instance, publish, send_at, audience) VALUES ($1, $2, $3, $4)",
            &[&instance, &publish, &send_at.as_millis(), &audience],
        )
        .await?;
    Ok(())
}

/// The next that is due.
pub(super) const NEXT_DUE: &str = "SELECT s.send_at FROM scheduled s
    WHERE NOT EXISTS (SELECT 1 FROM instances i WHERE i.instance = s.instance AND i.deleted_by IS NOT NULL)
    ORDER BY s.send_at, s.publish LIMIT 1";
/// Those that are due. The publish is held, as whoever cancels it does first; what another node is beginning is left to it.
pub(super) const DUE: &str = "SELECT s.instance, s.publish, s.audience FROM scheduled s
    CROSS JOIN LATERAL (SELECT 1 FROM publishes p WHERE p.instance = s.instance AND p.publish = s.publish
        AND p.state = 'scheduled' FOR NO KEY UPDATE SKIP LOCKED) AS held
    WHERE s.send_at <= $1
      AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.instance = s.instance AND i.deleted_by IS NOT NULL)
    ORDER BY s.send_at, s.publish LIMIT $2";

/// When the next one is due.
pub(super) async fn next_due(session: &Session) -> Result<Option<Timestamp>, Fault> {
    let due: Option<i64> = session.value(NEXT_DUE, &[]).await?;
    Ok(due.map(Timestamp::from_millis))
}

/// Begins those that are due; their jobs if they are leased at once.
pub(super) async fn start(
    session: &Session,
    plan: Plan,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<jobs::Claimed>, Fault> {
    let due = session
        .rows(DUE, &[&now.as_millis(), &columns::limit(limit)])
        .await?;
    let mut claimed = Vec::new();
    for row in &due {
        let (instance, publish) = (row.at(0)?, row.at(1)?);
        claimed.extend(begin(session, instance, publish, row.at(2)?, plan, now).await?);
    }
    Ok(claimed)
}

async fn begin(
    session: &Session,
    instance: i64,
    publish: i64,
    names: &str,
    plan: Plan,
    now: Timestamp,
) -> Result<Vec<jobs::Claimed>, Fault> {
    session
        .execute(
            "DELETE FROM scheduled WHERE instance = $1 AND publish = $2",
            &[&instance, &publish],
        )
        .await?;
    let Ok(names) = serde_json::from_str::<Audience>(names) else {
        // It must not stop all others.
        tracing::error!(
            publish,
            "the audience of a scheduled publish cannot be read; it is cancelled"
        );
        publishes::end(session, instance, publish, publishes::CANCELLED, now).await?;
        return Ok(Vec::new());
    };
    let (resolved, users) = publishes::resolve(session, instance, &names).await?;
    let ranges = audience::ranges(session, instance, &resolved, plan).await?;
    webhooks::publish_begun(session, instance, publish).await?;
    session
        .execute(
            "UPDATE payloads SET audience = $3, users = $4 WHERE instance = $1 AND publish = $2",
            &[&instance, &publish, &encode(&resolved), &users],
        )
        .await?;
    if ranges.is_empty() {
        publishes::end(session, instance, publish, publishes::FINISHED, now).await?;
        webhooks::publish_ended(session, instance, publish).await?;
        return Ok(Vec::new());
    }
    session
        .execute(
            "UPDATE publishes SET state = 'running' WHERE instance = $1 AND publish = $2",
            &[&instance, &publish],
        )
        .await?;
    jobs::insert(session, instance, publish, &ranges, plan.lease).await
}
