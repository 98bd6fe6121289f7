//! Events: what devices report of publishes, counted once per device, publish and kind. Whatever comes at the same time is
//! written together, in as many statements as for one report.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::webhook::WebhookEvent;
use uuid::Uuid;

use super::fault::Fault;
use super::insights::{self, Counts};
use super::session::{Columns as _, Session};
use super::{activity, columns, webhooks};
use crate::StoreError;
use crate::activity::Day;
use crate::insights::{ListedEvent, hour_of};
use crate::publishes::{Event, EventKind, Recorded};

/// Devices, by the place of the event that names them.
const DEVICES: &str = "SELECT n.place, d.instance, d.device, d.user_number, d.active_on
    FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[]) AS n(place, instance, id, platform)
    JOIN instances i ON i.id = n.instance AND i.deleted_by IS NULL
    JOIN devices d ON d.instance = i.instance AND d.id = n.id AND d.platform = n.platform";
/// Held, so that none is removed while something is written down of it; in one order, whoever does it.
const HOLD: &str = "SELECT p.id, p.instance, p.publish FROM unnest($1::uuid[]) AS n(id)
    JOIN publishes p ON p.id = n.id WHERE p.has_events = 1
    ORDER BY p.instance, p.publish FOR NO KEY UPDATE OF p";
const WRITE: &str = "INSERT INTO events (instance, publish, kind, device, at)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
    ON CONFLICT DO NOTHING RETURNING publish, kind, device";
const COUNT: &str = "UPDATE publishes p SET delivered = p.delivered + n.delivered, opened = p.opened + n.opened
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n(instance, publish, delivered, opened)
    WHERE p.instance = n.instance AND p.publish = n.publish";

/// A device that reported something.
#[derive(Debug, Clone, Copy)]
struct Reporter {
    instance: i64,
    device: i64,
    user: Option<i64>,
    active: Day,
}

/// An event whose device and publish are known.
struct Known<'a> {
    place: usize,
    event: &'a Event,
    by: Reporter,
    publish: i64,
}

/// Records what several callers were told, each of them several events.
pub(super) async fn together(
    session: &Session,
    calls: &[Vec<Event>],
) -> Result<Vec<Result<Vec<Recorded>, StoreError>>, Fault> {
    let events: Vec<&Event> = calls.iter().flatten().collect();
    let mut recorded = record(session, &events).await?.into_iter();
    let of_call = |call: &Vec<Event>| Ok(recorded.by_ref().take(call.len()).collect());
    Ok(calls.iter().map(of_call).collect())
}

async fn record(session: &Session, events: &[&Event]) -> Result<Vec<Recorded>, Fault> {
    let mut recorded = vec![Recorded::Unknown; events.len()];
    let reporters = reporters(session, events).await?;
    let publishes = hold(session, events).await?;
    let known: Vec<Known<'_>> = events
        .iter()
        .zip(reporters)
        .enumerate()
        .filter_map(|(place, (event, by))| {
            let by = by?;
            let (instance, publish) = *publishes.get(event.publish.uuid())?;
            (instance == by.instance).then_some(Known {
                place,
                event,
                by,
                publish,
            })
        })
        .collect();
    if known.is_empty() {
        return Ok(recorded);
    }
    let mut unseen = write(session, &known).await?;
    let (mut fresh, mut counts) = (Vec::new(), Counts::new());
    for one in &known {
        let kind = one.event.kind;
        // Of the same report told twice at a time, the first is the one that counts.
        if !unseen.remove(&(one.publish, kind.as_str(), one.by.device)) {
            recorded[one.place] = Recorded::Repeated;
            continue;
        }
        recorded[one.place] = Recorded::New;
        let hour = hour_of(one.event.received);
        let key = insights::key(one.by.instance, hour, one.event.device.platform(), kind);
        *counts.entry(key).or_default() += 1;
        fresh.push(one);
    }
    count(session, &fresh).await?;
    insights::count(session, &counts).await?;
    touch(session, &known).await?;
    for one in fresh {
        tell(session, one).await?;
    }
    Ok(recorded)
}

/// The device of each event.
async fn reporters(session: &Session, events: &[&Event]) -> Result<Vec<Option<Reporter>>, Fault> {
    let places: Vec<i64> = (0..events.len()).map(columns::limit).collect();
    let instances: Vec<Uuid> = events.iter().map(|e| *e.instance.as_uuid()).collect();
    let ids: Vec<Uuid> = events.iter().map(|e| *e.device.uuid()).collect();
    let platforms: Vec<&str> = events
        .iter()
        .map(|e| e.device.platform().as_str())
        .collect();
    let rows = session
        .rows(DEVICES, &[&places, &instances, &ids, &platforms])
        .await?;
    let mut reporters = vec![None; events.len()];
    for row in &rows {
        let place = usize::try_from(row.at::<i64>(0)?).unwrap_or(usize::MAX);
        if let Some(reporter) = reporters.get_mut(place) {
            *reporter = Some(Reporter {
                instance: row.at(1)?,
                device: row.at(2)?,
                user: row.at(3)?,
                active: Day::from_number(row.at(4)?),
            });
        }
    }
    Ok(reporters)
}

/// The publishes that reports still count for: by their ids, the numbers of their instances and their own.
async fn hold(session: &Session, events: &[&Event]) -> Result<HashMap<Uuid, (i64, i64)>, Fault> {
    let ids: BTreeSet<Uuid> = events.iter().map(|event| *event.publish.uuid()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows = session.rows(HOLD, &[&ids]).await?;
    let read = |row: &tokio_postgres::Row| Ok((row.at(0)?, (row.at(1)?, row.at(2)?)));
    rows.iter().map(read).collect()
}

/// Writes the events; those that were not there before.
async fn write(
    session: &Session,
    known: &[Known<'_>],
) -> Result<HashSet<(i64, &'static str, i64)>, Fault> {
    let instances: Vec<i64> = known.iter().map(|one| one.by.instance).collect();
    let publishes: Vec<i64> = known.iter().map(|one| one.publish).collect();
    let kinds: Vec<&str> = known.iter().map(|one| one.event.kind.as_str()).collect();
    let devices: Vec<i64> = known.iter().map(|one| one.by.device).collect();
    let times: Vec<i64> = known.iter().map(|one| one.event.at.as_millis()).collect();
    let rows = session
        .rows(WRITE, &[&instances, &publishes, &kinds, &devices, &times])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let kind: String = row.at(1)?;
        let kind = EventKind::parse(&kind).unwrap_or(EventKind::Delivery);
        Ok((row.at(0)?, kind.as_str(), row.at(2)?))
    };
    rows.iter().map(read).collect()
}

/// Counts new events for their publishes.
async fn count(session: &Session, fresh: &[&Known<'_>]) -> Result<(), Fault> {
    let mut sums: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for one in fresh {
        let (delivered, opened) = sums.entry((one.by.instance, one.publish)).or_default();
        match one.event.kind {
            EventKind::Delivery => *delivered += 1,
            EventKind::Open => *opened += 1,
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    let instances: Vec<i64> = sums.keys().map(|(instance, _)| *instance).collect();
    let publishes: Vec<i64> = sums.keys().map(|(_, publish)| *publish).collect();
    let delivered: Vec<i64> = sums.values().map(|(delivered, _)| *delivered).collect();
    let opened: Vec<i64> = sums.values().map(|(_, opened)| *opened).collect();
    session
        .execute(COUNT, &[&instances, &publishes, &delivered, &opened])
        .await?;
    Ok(())
}

/// Writes down that devices are active, where that is news.
async fn touch(session: &Session, known: &[Known<'_>]) -> Result<(), Fault> {
    let mut idle: BTreeMap<(i64, i64), BTreeSet<i64>> = BTreeMap::new();
    for one in known {
        let today = Day::of(one.event.received);
        if one.by.active < today {
            let key = (one.by.instance, today.number());
            idle.entry(key).or_default().insert(one.by.device);
        }
    }
    for ((instance, today), devices) in idle {
        let devices: Vec<i64> = devices.into_iter().collect();
        activity::touch_free(session, instance, &devices, today).await?;
    }
    Ok(())
}

/// Tells webhooks of an event whose device says whom it belongs to.
async fn tell(session: &Session, one: &Known<'_>) -> Result<(), Fault> {
    let Some(user) = &one.event.user else {
        return Ok(());
    };
    let told = WebhookEvent::UserNotification {
        instance: one.event.instance,
        publish: one.event.publish,
        user: user.clone(),
        opened: one.event.kind == EventKind::Open,
    };
    webhooks::user_notified(session, one.by.instance, &told, one.by.user).await
}

pub(super) async fn of_publish(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
    kind: EventKind,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Option<Vec<ListedEvent>>, Fault> {
    let publish = session
        .row(
            "SELECT p.instance, p.publish FROM publishes p JOIN instances i ON i.instance = p.instance
              WHERE p.id = $1 AND i.id = $2 AND i.deleted_by IS NULL",
            &[id.uuid(), instance.as_uuid()],
        )
        .await?;
    let Some(publish) = publish else {
        return Ok(None);
    };
    let (number, publish): (i64, i64) = (publish.at(0)?, publish.at(1)?);
    let rows = session
        .rows(
            "SELECT e.device, e.at, d.platform, d.id, u.id
               FROM events e LEFT JOIN devices d ON d.instance = e.instance AND d.device = e.device
                    LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE e.instance = $1 AND e.publish = $2 AND e.kind = $3 AND e.device > $4 ORDER BY e.device LIMIT $5",
            &[&number, &publish, &kind.as_str(), &after.0, &columns::limit(limit)],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let device = match row.at::<Option<String>>(2)? {
            Some(platform) => Some(DeviceId::from_parts(
                columns::platform(&platform)?,
                row.at(3)?,
            )),
            None => None,
        };
        let user: Option<String> = row.at(4)?;
        Ok(ListedEvent {
            ordinal: DeviceOrdinal(row.at(0)?),
            device,
            user: user.map(columns::user).transpose()?,
            at: Timestamp::from_millis(row.at(1)?),
        })
    };
    rows.iter().map(read).collect::<Result<_, _>>().map(Some)
}
