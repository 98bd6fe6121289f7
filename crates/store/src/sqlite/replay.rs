//! Sending a publish again to the devices that it failed for.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::trace::TraceParent;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::keys::{self, Taken};
use super::publishes::{self, Created};
use super::{audience, columns, instances, jobs, lists};
use crate::StoreError;
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

fn source(
    connection: &Connection,
    instance: i64,
    id: PublishId,
) -> Result<Option<Source>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT publish, state, expires_at, has_payload FROM publishes WHERE id = ?1 AND instance = ?2",
        )?
        .query_row(params![id.uuid().as_bytes(), instance], |row| {
            Ok(Source {
                number: row.get(0)?,
                state: row.get(1)?,
                expires_at: row.get(2)?,
                failed: 0,
                has_payload: row.get(3)?,
            })
        })
        .optional()?;
    let Some(mut source) = found else {
        return Ok(None);
    };
    source.failed = connection
        .prepare_cached("SELECT count(*) FROM failures WHERE publish = ?1")?
        .query_row([source.number], |row| row.get(0))?;
    Ok(Some(source))
}

pub(super) fn create(
    connection: &Connection,
    request: &Request,
    plan: Plan,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let instance = instances::known(connection, request.instance)?;
    publishes::finish_emptied(connection, now)?;
    if let Some(once) = &request.once {
        // A key is looked up first, so that a repetition is answered whatever has become of the publish.
        match keys::take(connection, instance, once, request.fresh.id, now)? {
            Taken::Now => {}
            Taken::Before(id) => return Ok(Outcome::Repeated(id)),
            Taken::ByAnother => return Ok(Outcome::KeyReused),
        }
    }
    let refused = match source(connection, instance, request.of)? {
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
                || lacks_values(connection, source.number)? =>
        {
            Outcome::Expired
        }
        Some(source) => {
            return write(connection, instance, request, &source, plan, now).map(Outcome::Accepted);
        }
    };
    if let Some(once) = &request.once {
        keys::give_back(connection, instance, once)?;
    }
    Ok(refused)
}

/// Whether it has places that nothing is known any more to fill them with.
fn lacks_values(connection: &Connection, publish: i64) -> Result<bool, StoreError> {
    let stored = publishes::load(connection, publish)?;
    let has_places = stored.is_some_and(|stored| stored.publish.payloads.template.is_some());
    Ok(has_places && !lists::knows_users(connection, publish)?)
}

fn write(
    connection: &Connection,
    instance: i64,
    request: &Request,
    source: &Source,
    plan: Plan,
    now: Timestamp,
) -> Result<Created, StoreError> {
    let resolved = ResolvedAudience::FailuresOf(source.number);
    let ranges = audience::ranges(connection, &resolved, plan)?;
    let is_for_nobody = ranges.is_empty();
    let number: i64 = connection
        .prepare_cached(
            "INSERT INTO publishes (instance, id, accepted_at, finished_at, state, expires_at, named, named_count, replay_of)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'failures', ?7, ?8) RETURNING publish",
        )?
        .query_row(
            params![
                instance,
                request.fresh.id.uuid().as_bytes(),
                now.as_millis(),
                is_for_nobody.then_some(now.as_millis()),
                if is_for_nobody { publishes::FINISHED } else { publishes::RUNNING },
                source.expires_at,
                source.failed,
                source.number
            ],
            |row| row.get(0),
        )?;
    connection
        .prepare_cached(
            "INSERT INTO payloads (publish, format, payloads, audience, trace)
             SELECT ?1, format, payloads, ?3, ?4 FROM payloads WHERE publish = ?2",
        )?
        .execute(params![
            number,
            source.number,
            encode(&resolved),
            request.fresh.trace.map(TraceParent::to_bytes)
        ])?;
    Ok(Created {
        number,
        audience: Arc::new(resolved),
        jobs: jobs::insert(connection, number, &ranges, plan.lease)?,
        first_page: None,
    })
}

/// Removes failures of a publish that is being deleted, at most `most`. How many more might have been removed.
pub(super) fn remove_failures(
    connection: &Connection,
    publish: i64,
    most: i64,
) -> Result<i64, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM failures WHERE (publish, device) IN
                (SELECT publish, device FROM failures WHERE publish = ?1 LIMIT ?2)",
        )?
        .execute([publish, most])?;
    Ok(most - columns::limit(removed))
}
