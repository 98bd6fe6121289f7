//! Sending a publish again to the devices that it failed for.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;

use super::fault::Fault;
use super::keys::{self, Taken};
use super::publishes::{self, Created};
use super::session::{Columns as _, Session};
use super::{audience, columns, instances, jobs, lists};
use crate::lookup::Fresh;
use crate::publishes::{Once, Plan, ResolvedAudience};
use crate::stored::encode;

/// A request for a replay.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) instance: InstanceId,
    pub(super) of: PublishId,
    pub(super) fresh: Fresh,
    pub(super) once: Option<Once>,
}

pub(super) enum Outcome {
    Accepted(Created),
    Repeated(PublishId),
    KeyReused,
    Unfinished,
    Expired,
    Unknown,
}

struct Source {
    number: i64,
    state: String,
    expires_at: Option<i64>,
    failed: i64,
    has_payload: bool,
}

/// The publish, held so that it is not removed before what replays it is there.
async fn source(session: &Session, instance: i64, id: PublishId) -> Result<Option<Source>, Fault> {
    let row = session
        .row(
            "SELECT publish, state, expires_at, has_payload FROM publishes WHERE id = $1 AND instance = $2 FOR SHARE",
            &[id.uuid(), &instance],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let number: i64 = row.at(0)?;
    let failed = session
        .known(
            "SELECT count(*) FROM failures WHERE instance = $1 AND publish = $2",
            &[&instance, &number],
        )
        .await?;
    Ok(Some(Source {
        number,
        state: row.at(1)?,
        expires_at: row.at(2)?,
        failed,
        has_payload: row.at::<i64>(3)? == 1,
    }))
}

pub(super) async fn create(
    session: &Session,
    request: &Request,
    plan: Plan,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    let instance = instances::known(session, request.instance).await?;
    publishes::finish_emptied(session, now).await?;
    if let Some(once) = &request.once {
        // A key is looked up first, so that a repetition is answered whatever has become of the publish.
        match keys::take(session, instance, once, request.fresh.id, now).await? {
            Taken::Now => {}
            Taken::Before(id) => return Ok(Outcome::Repeated(id)),
            Taken::ByAnother => return Ok(Outcome::KeyReused),
        }
    }
    let refused = match source(session, instance, request.of).await? {
        None => Outcome::Unknown,
        Some(source)
            if !matches!(
                source.state.as_str(),
                publishes::FINISHED | publishes::CANCELLED
            ) =>
        {
            Outcome::Unfinished
        }
        Some(source)
            if !source.has_payload
                || source.expires_at.is_some_and(|end| end <= now.as_millis())
                || lacks_values(session, instance, source.number).await? =>
        {
            Outcome::Expired
        }
        Some(source) => {
            let created = write(session, instance, request, &source, plan, now).await?;
            return Ok(Outcome::Accepted(created));
        }
    };
    if let Some(once) = &request.once {
        keys::give_back(session, instance, once).await?;
    }
    Ok(refused)
}

/// Whether it has places that nothing is known any more to fill them with.
async fn lacks_values(session: &Session, instance: i64, publish: i64) -> Result<bool, Fault> {
    let stored = publishes::load(session, instance, publish).await?;
    let has_places = stored.is_some_and(|stored| stored.publish.payloads.template.is_some());
    Ok(has_places && !lists::knows_users(session, instance, publish).await?)
}

async fn write(
    session: &Session,
    instance: i64,
    request: &Request,
    source: &Source,
    plan: Plan,
    now: Timestamp,
) -> Result<Created, Fault> {
    let resolved = ResolvedAudience::FailuresOf(source.number);
    let ranges = audience::ranges(session, instance, &resolved, plan).await?;
    let is_for_nobody = ranges.is_empty();
    let state = if is_for_nobody {
        publishes::FINISHED
    } else {
        publishes::RUNNING
    };
    let number: i64 = session
        .known(
            "INSERT INTO publishes (instance, id, accepted_at, finished_at, state, expires_at, named, named_count, replay_of)
             VALUES ($1, $2, $3, $4, $5, $6, 'failures', $7, $8) RETURNING publish",
            &[
                &instance,
                request.fresh.id.uuid(),
                &now.as_millis(),
                &is_for_nobody.then_some(now.as_millis()),
                &state,
                &source.expires_at,
                &source.failed,
                &source.number,
            ],
        )
        .await?;
    session
        .execute(
            "INSERT INTO payloads (instance, publish, format, payloads, audience, trace)
             SELECT $1, $2, format, payloads, $4, $5 FROM payloads WHERE instance = $1 AND publish = $3",
            &[
                &instance,
                &number,
                &source.number,
                &encode(&resolved),
                &columns::trace(request.fresh.trace),
            ],
        )
        .await?;
    Ok(Created {
        number,
        audience: Arc::new(resolved),
        jobs: jobs::insert(session, instance, number, &ranges, plan.lease).await?,
        first_page: None,
    })
}

/// Removes failures of a publish that is being deleted, at most `most`. How many more might have been removed.
pub(super) async fn remove_failures(
    session: &Session,
    instance: i64,
    publish: i64,
    most: i64,
) -> Result<i64, Fault> {
    let removed = session
        .execute(
            "DELETE FROM failures WHERE instance = $1 AND publish = $2 AND device IN
                (SELECT device FROM failures WHERE instance = $1 AND publish = $2 LIMIT $3)",
            &[&instance, &publish, &most],
        )
        .await?;
    Ok(most - columns::number(removed))
}
