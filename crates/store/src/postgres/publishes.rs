//! Publishes: how one is written, cut into jobs, read back and finished.

use std::collections::HashMap;
use std::sync::Arc;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::{Audience, Publish, PublishId};
use domain::trace::TraceParent;
use domain::user::UserId;

use super::fault::{Fault, corrupt};
use super::keys::{self, Taken};
use super::session::{Columns as _, Session};
use super::{audience, columns, instances, interests, jobs, lists, scheduled, webhooks};
use crate::lookup::PublishState;
use crate::publishes::{NewPublish, Plan, ResolvedAudience};
use crate::stored::{FORMAT, Stored, Texts, accepting, decode, encode};

/// The words of `state`.
pub(super) const SCHEDULED: &str = PublishState::Scheduled.as_str();
pub(super) const RUNNING: &str = PublishState::Running.as_str();
pub(super) const FINISHED: &str = PublishState::Finished.as_str();
pub(super) const CANCELLED: &str = PublishState::Cancelled.as_str();

/// What was written for an accepted publish, whose jobs find it by the numbers of its instance and its own.
pub(super) type Created = accepting::Created<jobs::Place>;
/// What became of a request.
pub(super) type Outcome = accepting::Outcome<jobs::Place>;

/// Writes a publish and its jobs, or when it is to be sent.
pub(super) async fn create(
    session: &Session,
    new: &NewPublish,
    texts: &Texts,
    plan: Plan,
) -> Result<Outcome, Fault> {
    let publish = &*new.publish;
    let instance = instances::known(session, publish.instance).await?;
    if let Some(once) = &new.once {
        match keys::take(session, instance, once, publish.id, publish.accepted_at).await? {
            Taken::Now => {}
            Taken::Before(id) => return Ok(Outcome::Repeated(id)),
            Taken::ByAnother => return Ok(Outcome::KeyReused),
        }
    }
    let (audience, users, ranges) = if texts.scheduled.is_some() {
        (ResolvedAudience::Interests(Vec::new()), None, Vec::new())
    } else {
        let (audience, users) = resolve(session, instance, &new.audience).await?;
        let ranges = audience::ranges(session, instance, &audience, plan).await?;
        (audience, users, ranges)
    };
    let state = match &texts.scheduled {
        Some(_) => SCHEDULED,
        None if ranges.is_empty() => FINISHED,
        None => RUNNING,
    };
    let number = insert(session, instance, new, state).await?;
    if let Audience::List(list) = new.audience {
        lists::take(session, instance, list, number).await?;
    }
    session
        .execute(
            "INSERT INTO payloads (instance, publish, format, payloads, audience, users, trace, interests)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &instance,
                &number,
                &FORMAT,
                &texts.payloads,
                &encode(&audience),
                &users,
                &columns::trace(publish.trace),
                &texts.interests,
            ],
        )
        .await?;
    if let Some(names) = &texts.scheduled {
        scheduled::insert(session, instance, number, publish.send_at, names).await?;
    }
    if let Some(brought) = &new.webhook {
        webhooks::keep_brought(session, instance, number, brought).await?;
    }
    if state != SCHEDULED {
        webhooks::publish_begun(session, instance, number).await?;
    }
    if state == FINISHED {
        webhooks::publish_ended(session, instance, number).await?;
    }
    let jobs = jobs::insert(session, instance, number, &ranges, plan.lease).await?;
    Ok(Outcome::New(Created {
        number,
        audience: Arc::new(audience),
        jobs,
        first_page: None,
    }))
}

async fn insert(
    session: &Session,
    instance: i64,
    new: &NewPublish,
    state: &str,
) -> Result<i64, Fault> {
    let publish = &*new.publish;
    let accepted_at = publish.accepted_at.as_millis();
    let is_later = publish.send_at > publish.accepted_at;
    session
        .known(
            "INSERT INTO publishes (instance, id, accepted_at, finished_at, state, send_at, expires_at, named, named_count)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING publish",
            &[
                &instance,
                publish.id.uuid(),
                &accepted_at,
                &(state == FINISHED).then_some(accepted_at),
                &state,
                &is_later.then(|| publish.send_at.as_millis()),
                &publish.expires_at.map(Timestamp::as_millis),
                &new.audience.kind().as_str(),
                &columns::limit(new.audience.named()),
            ],
        )
        .await
}

/// Numbers of the interests or users that somebody is subscribed to or bound to; the others have no devices. For users, all
/// that were named too, as `payloads.users` keeps them.
pub(super) async fn resolve(
    session: &Session,
    instance: i64,
    audience: &Audience,
) -> Result<(ResolvedAudience, Option<String>), Fault> {
    match audience {
        Audience::List(list) => Ok((ResolvedAudience::Listed(list.number), None)),
        Audience::Interests(names) => {
            let names: Vec<&str> = names.iter().map(InterestName::as_str).collect();
            let numbers = interests::numbers(session, instance, &names).await?;
            Ok((ResolvedAudience::Interests(numbers), None))
        }
        Audience::Users(ids) => {
            let texts: Vec<&str> = ids.iter().map(UserId::as_str).collect();
            let rows = session
                .rows(
                    "SELECT id, user_number FROM users WHERE instance = $1 AND id = ANY($2)",
                    &[&instance, &texts],
                )
                .await?;
            let mut found: HashMap<&str, i64> = HashMap::with_capacity(rows.len());
            for row in &rows {
                found.insert(row.at(0)?, row.at(1)?);
            }
            let named: Vec<(&UserId, Option<i64>)> = ids
                .iter()
                .map(|id| (id, found.get(id.as_str()).copied()))
                .collect();
            let mut numbers: Vec<i64> = named.iter().filter_map(|(_, number)| *number).collect();
            numbers.sort_unstable();
            let named = serde_json::to_string(&named)?;
            Ok((ResolvedAudience::Users(numbers), Some(named)))
        }
    }
}

/// Reads a publish by its number; `None` if it has been deleted.
pub(super) async fn load(
    session: &Session,
    instance: i64,
    number: i64,
) -> Result<Option<Stored>, Fault> {
    let row = session
        .row(
            "SELECT i.id, p.id, p.accepted_at, c.format, c.payloads, c.audience, p.send_at, p.expires_at, c.trace
               FROM publishes p JOIN instances i ON i.instance = p.instance
                    JOIN payloads c ON c.instance = p.instance AND c.publish = p.publish
              WHERE p.instance = $1 AND p.publish = $2 AND i.deleted_by IS NULL",
            &[&instance, &number],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let format: i64 = row.at(3)?;
    if format != FORMAT {
        return Err(corrupt(format!("a publish in format {format}")));
    }
    let payloads = serde_json::from_str(row.at(4)?)
        .map_err(|error| corrupt(format!("the payloads of a publish: {error}")))?;
    let accepted_at = Timestamp::from_millis(row.at(2)?);
    let send_at: Option<i64> = row.at(6)?;
    Ok(Some(Stored {
        publish: Arc::new(Publish {
            id: PublishId::from_uuid(row.at(1)?),
            instance: InstanceId::from_uuid(row.at(0)?),
            accepted_at,
            send_at: send_at.map_or(accepted_at, Timestamp::from_millis),
            expires_at: row.at::<Option<i64>>(7)?.map(Timestamp::from_millis),
            payloads,
            trace: row
                .at::<Option<&[u8]>>(8)?
                .and_then(TraceParent::from_bytes),
        }),
        audience: Arc::new(decode(row.at(5)?)?),
    }))
}

/// Holds a publish until the transaction ends, so that whoever may write its end does so one after the other.
pub(super) async fn hold(session: &Session, instance: i64, publish: i64) -> Result<(), Fault> {
    session
        .execute(
            "SELECT 1 FROM publishes WHERE instance = $1 AND publish = $2 FOR NO KEY UPDATE",
            &[&instance, &publish],
        )
        .await?;
    Ok(())
}

/// The same for one whose work goes on, by its id; its numbers.
pub(super) async fn hold_working(
    session: &Session,
    id: PublishId,
) -> Result<Option<(i64, i64)>, Fault> {
    let row = session
        .row(
            "SELECT instance, publish FROM publishes WHERE id = $1 AND state <> 'cancelled' FOR NO KEY UPDATE",
            &[id.uuid()],
        )
        .await?;
    row.map(|row| Ok((row.at(0)?, row.at(1)?))).transpose()
}

/// Notes that a publish is finished, if no work of it is left. The caller [holds](hold) it.
pub(super) async fn finish_if_done(
    session: &Session,
    instance: i64,
    publish: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    let ended = session
        .execute(
            "UPDATE publishes SET finished_at = greatest($3, accepted_at), state = 'finished'
              WHERE instance = $1 AND publish = $2 AND state = 'running'
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE publish = $2)
                AND NOT EXISTS (SELECT 1 FROM retries WHERE publish = $2)",
            &[&instance, &publish, &now.as_millis()],
        )
        .await?;
    if ended > 0 {
        webhooks::publish_ended(session, instance, publish).await?;
    }
    Ok(())
}

/// Notes that a publish that had not ended has ended in this state.
pub(super) async fn end(
    session: &Session,
    instance: i64,
    publish: i64,
    state: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    session
        .execute(
            "UPDATE publishes SET finished_at = greatest($3, accepted_at), state = $4
              WHERE instance = $1 AND publish = $2 AND finished_at IS NULL",
            &[&instance, &publish, &now.as_millis(), &state],
        )
        .await?;
    Ok(())
}

/// Finishes publishes that lost their last retry together with a device. Notes that somebody else is looking at are left to
/// them.
pub(super) async fn finish_emptied(session: &Session, now: Timestamp) -> Result<(), Fault> {
    /// Per call; what is over comes with the next.
    const EMPTIED_MAX: i64 = 1000;
    let rows = session
        .rows(
            "DELETE FROM emptied WHERE note IN
                (SELECT note FROM emptied ORDER BY note LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING instance, publish",
            &[&EMPTIED_MAX],
        )
        .await?;
    let mut emptied = Vec::with_capacity(rows.len());
    for row in &rows {
        emptied.push((row.at(0)?, row.at(1)?));
    }
    emptied.sort_unstable();
    emptied.dedup();
    for (instance, publish) in emptied {
        hold(session, instance, publish).await?;
        finish_if_done(session, instance, publish, now).await?;
    }
    Ok(())
}
