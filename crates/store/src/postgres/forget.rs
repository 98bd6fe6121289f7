//! What there is of a user in publishes, and how it is removed: in pieces, each a short transaction over some publishes.
//!
//! A user's devices go first, so that nothing new comes; their numbers, which their reports are kept under, are held until
//! the last piece.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{audit, columns, console, instances, lookup, people, users, webhooks};
use crate::administration::{
    DeviceFilter, Forgotten, ListedDevice, PublishTrace, ReportedEvent, TracePage,
};
use crate::lookup::{Failed, PublishCursor};
use crate::publishes::EventKind;

/// How many publishes one page of traces, or one piece of forgetting, looks at.
const PUBLISHES_MAX: usize = 200;
/// More devices than a user can have.
const DEVICES_MAX: usize = 1000;

/// What is being removed: the numbers that a user's traces are kept under, and where the next piece begins.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    instance: i64,
    user: Option<i64>,
    devices: Vec<(i64, DeviceId)>,
    pub(super) before: i64,
}

/// Publishes to look at, the newest first.
struct Batch {
    publishes: Vec<(i64, PublishId, Timestamp)>,
    numbers: Vec<i64>,
    is_last: bool,
}

/// Users with their numbers, as a publish keeps them.
type Named = Vec<(UserId, Option<i64>)>;

async fn numbers(
    session: &Session,
    instance: InstanceId,
    user: &UserId,
) -> Result<Option<Numbers>, Fault> {
    let Some(number) = instances::number(session, instance).await? else {
        return Ok(None);
    };
    let filter = DeviceFilter::User(user.clone());
    let from = DeviceOrdinal::default();
    let listed = people::devices(session, instance, &filter, from, DEVICES_MAX).await?;
    let user_number = session
        .value(
            "SELECT user_number FROM users WHERE instance = $1 AND id = $2",
            &[&number, &user.as_str()],
        )
        .await?;
    let of = |listed: ListedDevice| (listed.ordinal.0, listed.device.id);
    Ok(Some(Numbers {
        instance: number,
        user: user_number,
        devices: listed.into_iter().map(of).collect(),
        before: i64::MAX,
    }))
}

async fn some(session: &Session, numbers: &Numbers) -> Result<Batch, Fault> {
    let rows = session
        .rows(
            "SELECT publish, id, accepted_at FROM publishes WHERE instance = $1 AND publish < $2
              ORDER BY publish DESC LIMIT $3",
            &[
                &numbers.instance,
                &numbers.before,
                &columns::limit(PUBLISHES_MAX),
            ],
        )
        .await?;
    let mut publishes = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = PublishId::from_uuid(row.at(1)?);
        publishes.push((row.at(0)?, id, Timestamp::from_millis(row.at(2)?)));
    }
    Ok(Batch {
        numbers: publishes.iter().map(|(number, ..)| *number).collect(),
        is_last: publishes.len() < PUBLISHES_MAX,
        publishes,
    })
}

/// The users that publishes named, by name, where this one may be among them.
async fn named(
    session: &Session,
    instance: i64,
    publishes: &[i64],
    user: &UserId,
) -> Result<HashMap<i64, Named>, Fault> {
    // As it stands in the JSON. Looked for before the JSON is read, which most publishes are thereby spared.
    let quoted = serde_json::json!(user).to_string();
    let rows = session
        .rows(
            "SELECT publish, users FROM payloads
              WHERE instance = $1 AND publish = ANY($2) AND position($3 IN users) > 0",
            &[&instance, &publishes, &quoted],
        )
        .await?;
    let mut found = HashMap::new();
    for row in &rows {
        let json: &str = row.at(1)?;
        let named = serde_json::from_str(json)
            .map_err(|error| corrupt(format!("the users of a publish: {error}")))?;
        found.insert(row.at(0)?, named);
    }
    Ok(found)
}

/// The audiences of scheduled publishes, where this user may be among them.
async fn scheduled(
    session: &Session,
    instance: i64,
    publishes: &[i64],
    user: &UserId,
) -> Result<HashMap<i64, Audience>, Fault> {
    let quoted = serde_json::json!(user).to_string();
    let rows = session
        .rows(
            "SELECT publish, audience FROM scheduled
              WHERE instance = $1 AND publish = ANY($2) AND position($3 IN audience) > 0",
            &[&instance, &publishes, &quoted],
        )
        .await?;
    let mut found = HashMap::new();
    for row in &rows {
        let json: &str = row.at(1)?;
        let audience = serde_json::from_str(json)
            .map_err(|error| corrupt(format!("the audience of a publish: {error}")))?;
        found.insert(row.at(0)?, audience);
    }
    Ok(found)
}

/// The number that a publish knows a user under.
fn number_in(named: &Named, user: &UserId) -> Option<i64> {
    let found = named.iter().find(|(name, _)| name == user);
    found.and_then(|(_, number)| *number)
}

pub(super) async fn traces(
    session: &Session,
    instance: InstanceId,
    user: &UserId,
    after: Option<PublishCursor>,
) -> Result<TracePage, Fault> {
    let Some(mut numbers) = numbers(session, instance, user).await? else {
        return Ok(TracePage::default());
    };
    numbers.before = after.map_or(i64::MAX, |after| after.0);
    let some = some(session, &numbers).await?;
    let (instance, all) = (numbers.instance, some.numbers.as_slice());
    let named = named(session, instance, all, user).await?;
    let scheduled = scheduled(session, instance, all, user).await?;
    let listed = listed(session, all, user).await?;
    let mut known: Vec<i64> = numbers.user.into_iter().collect();
    known.extend(named.values().filter_map(|named| number_in(named, user)));
    known.extend(listed.values().map(|(_, place)| *place));
    let outcomes = outcomes(session, instance, all, &known).await?;
    let mut failures = failures(session, instance, all, user).await?;
    let mut events = events(session, instance, all, &numbers.devices).await?;
    let mut page = TracePage::default();
    if after.is_none() {
        page.webhook_requests = webhooks::traced(session, instance, user).await?;
    }
    for (number, id, accepted_at) in &some.publishes {
        let by_name = named.get(number);
        let waits = match scheduled.get(number) {
            Some(Audience::Users(users)) => users.contains(user),
            _ => false,
        };
        let in_list = listed.get(number);
        let is_named = by_name.is_some_and(|named| named.iter().any(|(name, _)| name == user));
        let user_number = by_name
            .and_then(|named| number_in(named, user))
            .or(in_list.map(|(_, place)| *place))
            .or(numbers.user);
        let trace = PublishTrace {
            publish: *id,
            accepted_at: *accepted_at,
            named: is_named || in_list.is_some() || waits,
            values: in_list.and_then(|(values, _)| values.clone()),
            outcome: user_number.and_then(|user| outcomes.get(&(*number, user)).copied()),
            failures: failures.remove(number).unwrap_or_default(),
            events: events.remove(number).unwrap_or_default(),
        };
        let is_empty = !trace.named
            && trace.outcome.is_none()
            && trace.failures.is_empty()
            && trace.events.is_empty();
        page.publishes.extend(Some(trace).filter(|_| !is_empty));
    }
    let last = some.numbers.last().filter(|_| !some.is_last);
    page.next = last.copied().map(PublishCursor);
    Ok(page)
}

/// The publishes whose lists have a user, the values there, and what the outcome is kept under.
async fn listed(
    session: &Session,
    publishes: &[i64],
    user: &UserId,
) -> Result<HashMap<i64, (Option<String>, i64)>, Fault> {
    let rows = session
        .rows(
            "SELECT s.publish, l.vals, -l.place FROM lists s JOIN listed l ON l.list = s.list
              WHERE s.publish = ANY($1) AND l.user_id = $2",
            &[&publishes, &user.as_str()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.at(0)?, (row.at(1)?, row.at(2)?))))
        .collect()
}

/// What was counted, by publish and user.
async fn outcomes(
    session: &Session,
    instance: i64,
    publishes: &[i64],
    users: &[i64],
) -> Result<HashMap<(i64, i64), (u64, u64)>, Fault> {
    let rows = session
        .rows(
            "SELECT publish, user_number, accepted, failed FROM user_tallies
              WHERE instance = $1 AND publish = ANY($2) AND user_number = ANY($3)",
            &[&instance, &publishes, &users],
        )
        .await?;
    let mut found = HashMap::new();
    for row in &rows {
        let counts = (columns::count(row.at(2)?)?, columns::count(row.at(3)?)?);
        found.insert((row.at(0)?, row.at(1)?), counts);
    }
    Ok(found)
}

async fn failures(
    session: &Session,
    instance: i64,
    publishes: &[i64],
    user: &UserId,
) -> Result<HashMap<i64, Vec<Failed>>, Fault> {
    let rows = session
        .rows(
            "SELECT device, id, platform, user_id, outcome, reason, failed_at, publish FROM failures
              WHERE instance = $1 AND publish = ANY($2) AND user_id = $3 ORDER BY device",
            &[&instance, &publishes, &user.as_str()],
        )
        .await?;
    let mut found: HashMap<i64, Vec<Failed>> = HashMap::new();
    for row in &rows {
        let failed = lookup::failed(row)?;
        found.entry(row.at(7)?).or_default().push(failed);
    }
    Ok(found)
}

const KINDS: [EventKind; 2] = [EventKind::Delivery, EventKind::Open];

async fn events(
    session: &Session,
    instance: i64,
    publishes: &[i64],
    devices: &[(i64, DeviceId)],
) -> Result<HashMap<i64, Vec<ReportedEvent>>, Fault> {
    let ids: HashMap<i64, DeviceId> = devices.iter().copied().collect();
    let numbers: Vec<i64> = devices.iter().map(|(number, _)| *number).collect();
    let mut found: HashMap<i64, Vec<ReportedEvent>> = HashMap::new();
    for kind in KINDS {
        let rows = session
            .rows(
                "SELECT publish, device, at FROM events
                  WHERE instance = $1 AND publish = ANY($2) AND kind = $3 AND device = ANY($4) ORDER BY device",
                &[&instance, &publishes, &kind.as_str(), &numbers],
            )
            .await?;
        for row in &rows {
            let Some(device) = ids.get(&row.at(1)?).copied() else {
                continue;
            };
            found.entry(row.at(0)?).or_default().push(ReportedEvent {
                device,
                kind,
                at: Timestamp::from_millis(row.at(2)?),
            });
        }
    }
    for events in found.values_mut() {
        events.sort_by_key(|event| devices.iter().position(|(_, id)| *id == event.device));
    }
    Ok(found)
}

/// Removes the devices, the names in lists that belong to no publish, lines of the trail, requests to webhooks, and the name in
/// the audit log. What is left to do.
pub(super) async fn begin(
    session: &Session,
    instance: InstanceId,
    user: &UserId,
    pseudonym: &UserId,
) -> Result<Option<(Numbers, Forgotten)>, Fault> {
    let Some(numbers) = numbers(session, instance, user).await? else {
        return Ok(None);
    };
    let devices = users::delete(session, instance, user).await?;
    let ids: Vec<DeviceId> = numbers.devices.iter().map(|(_, id)| *id).collect();
    console::forget_user(session, numbers.instance, user, &ids).await?;
    let names = session
        .execute(
            "DELETE FROM listed WHERE user_id = $2 AND list IN
                (SELECT list FROM lists WHERE instance = $1 AND publish IS NULL)",
            &[&numbers.instance, &user.as_str()],
        )
        .await?;
    let forgotten = Forgotten {
        devices,
        names,
        // What was just told of the devices' removal is among them.
        webhook_requests: webhooks::forget_user(session, numbers.instance, user).await?,
        audit_entries: audit::pseudonymise(session, instance, user, pseudonym).await?,
        ..Forgotten::default()
    };
    Ok(Some((numbers, forgotten)))
}

/// Removes what some publishes have of a user. Where to go on, if there is more, and what was removed.
pub(super) async fn piece(
    session: &Session,
    numbers: &Numbers,
    user: &UserId,
) -> Result<(Option<i64>, Forgotten), Fault> {
    let some = some(session, numbers).await?;
    let (instance, all) = (numbers.instance, some.numbers.as_slice());
    let mut forgotten = Forgotten::default();
    let mut known: Vec<i64> = numbers.user.into_iter().collect();
    // The bodies of requests that publishes brought along have their users, too.
    let mut naming = Vec::new();
    for (publish, mut named) in named(session, instance, all, user).await? {
        let before = named.len();
        known.extend(number_in(&named, user));
        named.retain(|(name, _)| name != user);
        if named.len() < before {
            forgotten.names += u64::try_from(before - named.len()).unwrap_or_default();
            naming.push(publish);
        }
        session
            .execute(
                "UPDATE payloads SET users = $3 WHERE instance = $1 AND publish = $2",
                &[&instance, &publish, &serde_json::json!(named).to_string()],
            )
            .await?;
    }
    for (publish, audience) in scheduled(session, instance, all, user).await? {
        let Audience::Users(mut users) = audience else {
            continue;
        };
        if users.remove(user) {
            forgotten.names += 1;
            naming.push(publish);
        }
        let audience = serde_json::json!(Audience::Users(users)).to_string();
        session
            .execute(
                "UPDATE scheduled SET audience = $3 WHERE instance = $1 AND publish = $2",
                &[&instance, &publish, &audience],
            )
            .await?;
    }
    session
        .execute(
            "DELETE FROM publish_webhooks WHERE instance = $1 AND publish = ANY($2)",
            &[&instance, &naming],
        )
        .await?;
    forgotten.outcomes = remove_outcomes(session, instance, all, user, &known).await?;
    forgotten.names += session
        .execute(
            "DELETE FROM listed WHERE user_id = $2 AND list IN (SELECT list FROM lists WHERE publish = ANY($1))",
            &[&all, &user.as_str()],
        )
        .await?;
    forgotten.failures = session
        .execute(
            "DELETE FROM failures WHERE instance = $1 AND publish = ANY($2) AND user_id = $3",
            &[&instance, &all, &user.as_str()],
        )
        .await?;
    forgotten.events = remove_events(session, numbers, all).await?;
    let next = some.numbers.last().filter(|_| !some.is_last).copied();
    Ok((next, forgotten))
}

/// Removes what was counted for a user under these numbers, or under a place in a list. For how many publishes it was.
async fn remove_outcomes(
    session: &Session,
    instance: i64,
    publishes: &[i64],
    user: &UserId,
    numbers: &[i64],
) -> Result<u64, Fault> {
    let by_number = session
        .execute(
            "DELETE FROM user_tallies WHERE instance = $1 AND publish = ANY($2) AND user_number = ANY($3)",
            &[&instance, &publishes, &numbers],
        )
        .await?;
    let by_place = session
        .execute(
            "DELETE FROM user_tallies t USING lists s, listed l
              WHERE s.publish = ANY($2) AND l.list = s.list AND l.user_id = $3
                AND t.instance = $1 AND t.publish = s.publish AND t.user_number = -l.place",
            &[&instance, &publishes, &user.as_str()],
        )
        .await?;
    Ok(by_number + by_place)
}

/// Removes what the devices reported of these publishes. How often they did.
async fn remove_events(
    session: &Session,
    numbers: &Numbers,
    publishes: &[i64],
) -> Result<u64, Fault> {
    let devices: Vec<i64> = numbers.devices.iter().map(|(number, _)| *number).collect();
    let mut removed = 0;
    for kind in KINDS {
        removed += session
            .execute(
                "DELETE FROM events WHERE instance = $1 AND publish = ANY($2) AND kind = $3 AND device = ANY($4)",
                &[&numbers.instance, &publishes, &kind.as_str(), &devices],
            )
            .await?;
    }
    Ok(removed)
}

/// Cleans away the rows that were deleted or replaced, however long it takes: a large table is not looked through within the
/// time that a statement may take otherwise. What the write-ahead log and its copies have of them is for whoever runs the server
/// to let go of.
pub(super) async fn scrub(session: &Session) -> Result<(), Fault> {
    let limit: String = session
        .known("SELECT current_setting('statement_timeout')", &[])
        .await?;
    // Not for a transaction alone: VACUUM runs in none.
    session.batch("SET statement_timeout = 0").await?;
    let done = session
        .patiently("VACUUM devices, users, subscriptions, payloads, scheduled, lists, listed, user_tallies, failures, events, audit, trail, webhook_requests, publish_webhooks")
        .await;
    // Whoever has the connection next has the limit again.
    let _: String = session
        .known(
            "SELECT set_config('statement_timeout', $1, false)",
            &[&limit],
        )
        .await?;
    done
}
