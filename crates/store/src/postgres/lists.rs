//! Lists of users: told in pieces, read in pages in the order of their places, forgotten in pieces.
//!
//! Who has which devices is looked up when a page is read. The place of a user takes the part of the device's number in cursors
//! and jobs. Since a device has one user, none comes up twice. What became of the publish for a user is kept under the place,
//! too: it stays when the user goes, and it is negative there, since numbers of users are not.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform, Recipient};
use domain::instance::InstanceId;
use domain::payload::Values;
use domain::publish::{PublishId, UserList};
use domain::user::UserOrdinal;

use super::audience::{self, Window};
use super::fault::{self, Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns, instances};
use crate::StoreError;
use crate::lists::{Listed, UserLists};
use crate::publishes::{Page, Plan};

/// How many rows one piece removes at most.
const REMOVED_MAX: i64 = 10_000;
/// A page looks at this many users for each device asked for, whether they have any or not.
const USERS_PER_DEVICE_MAX: usize = 4;
/// How many replays of replays are followed to the publish that has a list.
const REPLAYS_MAX: usize = 16;

#[async_trait]
impl UserLists for PostgresStore {
    async fn begin_list(&self, instance: InstanceId, now: Timestamp) -> Result<i64, StoreError> {
        self.sessions
            .write((instance, now), |s, (instance, now)| {
                Box::pin(begin(s, *instance, *now))
            })
            .await
    }

    async fn extend_list(
        &self,
        list: i64,
        length: u64,
        users: Vec<Listed>,
    ) -> Result<Option<usize>, StoreError> {
        self.sessions
            .write((list, length, users), |s, (list, length, users)| {
                Box::pin(extend(s, *list, *length, users))
            })
            .await
    }

    async fn discard_list(&self, list: i64) -> Result<(), StoreError> {
        while !self
            .sessions
            .write(list, |s, list| Box::pin(discard(s, *list)))
            .await?
        {}
        Ok(())
    }

    async fn prune_lists(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut pruned = 0;
        while pruned < limit as u64 {
            let piece = self
                .sessions
                .write(before, |s, before| Box::pin(forget(s, *before)))
                .await?;
            let Some(is_whole) = piece else { break };
            pruned += u64::from(is_whole);
        }
        Ok(pruned)
    }

    async fn user_values(
        &self,
        publish: PublishId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<(DeviceOrdinal, Values)>, StoreError> {
        self.sessions
            .read((publish, devices), |s, (publish, devices)| {
                Box::pin(user_values(s, *publish, devices))
            })
            .await
    }
}

async fn begin(session: &Session, instance: InstanceId, now: Timestamp) -> Result<i64, Fault> {
    let instance = instances::known(session, instance).await?;
    session
        .known(
            "INSERT INTO lists (instance, created_at) VALUES ($1, $2) RETURNING list",
            &[&instance, &now.as_millis()],
        )
        .await
}

fn gone() -> Fault {
    Fault::Store(fault::unavailable("the list of users is gone"))
}

/// Holds a list that is nobody's; whether it is there.
async fn hold_open(session: &Session, list: i64) -> Result<bool, Fault> {
    let held = session
        .execute(
            "SELECT 1 FROM lists WHERE list = $1 AND publish IS NULL FOR UPDATE",
            &[&list],
        )
        .await?;
    Ok(held == 1)
}

/// Nothing stays of a piece that has somebody whom the list has.
async fn extend(
    session: &Session,
    list: i64,
    length: u64,
    users: &[Listed],
) -> Result<Option<usize>, Fault> {
    if !hold_open(session, list).await? {
        return Err(gone());
    }
    let before = i64::try_from(length).map_err(|_| gone())?;
    let ids: Vec<&str> = users.iter().map(|listed| listed.user.as_str()).collect();
    let known: Vec<String> = session
        .values(
            "SELECT user_id FROM listed WHERE list = $1 AND user_id = ANY($2)",
            &[&list, &ids],
        )
        .await?;
    let mut seen: std::collections::HashSet<&str> = known.iter().map(String::as_str).collect();
    if let Some(repeated) = ids.iter().position(|id| !seen.insert(id)) {
        return Ok(Some(repeated));
    }
    let values: Vec<Option<String>> = users
        .iter()
        .map(|listed| listed.values.as_ref().map(Values::as_json))
        .collect();
    session
        .execute(
            "INSERT INTO listed (list, place, user_id, vals)
             SELECT $1, $2 + n.place, n.id, n.vals FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS n(id, vals, place)",
            &[&list, &before, &ids, &values],
        )
        .await?;
    Ok(None)
}

/// Removes a piece of a list that is nobody's; `true` when nothing of it is left.
async fn discard(session: &Session, list: i64) -> Result<bool, Fault> {
    if !hold_open(session, list).await? {
        return Ok(true);
    }
    let removed = session
        .execute(
            "DELETE FROM listed WHERE list = $1 AND place IN
                (SELECT place FROM listed WHERE list = $1 ORDER BY place LIMIT $2)",
            &[&list, &REMOVED_MAX],
        )
        .await?;
    if columns::number(removed) < REMOVED_MAX {
        session
            .execute("DELETE FROM lists WHERE list = $1", &[&list])
            .await?;
        return Ok(true);
    }
    Ok(false)
}

/// Removes a piece of a list that was begun before `before` and is nobody's, or not any more: whether that was the last of it.
/// `None` if there is no such list.
async fn forget(session: &Session, before: Timestamp) -> Result<Option<bool>, Fault> {
    let list: Option<i64> = session
        .value(
            "SELECT list FROM lists WHERE publish IS NULL AND created_at < $1 ORDER BY created_at LIMIT 1",
            &[&before.as_millis()],
        )
        .await?;
    match list {
        None => Ok(None),
        Some(list) => discard(session, list).await.map(Some),
    }
}

/// Removes a piece of the lists of an instance that has no publishes any more; `true` when nothing is left.
pub(super) async fn purge(session: &Session, instance: i64) -> Result<bool, Fault> {
    let list: Option<i64> = session
        .value(
            "SELECT list FROM lists WHERE instance = $1 ORDER BY list LIMIT 1",
            &[&instance],
        )
        .await?;
    match list {
        None => Ok(true),
        Some(list) => discard(session, list).await.map(|_| false),
    }
}

/// Makes an open list of an instance the audience of a publish.
pub(super) async fn take(
    session: &Session,
    instance: i64,
    list: UserList,
    publish: i64,
) -> Result<(), Fault> {
    let taken = session
        .execute(
            "UPDATE lists SET publish = $3 WHERE list = $1 AND instance = $2 AND publish IS NULL",
            &[&list.number, &instance, &publish],
        )
        .await?;
    if taken == 1 { Ok(()) } else { Err(gone()) }
}

/// The ranges of places of the jobs for a list.
pub(super) async fn ranges(
    session: &Session,
    list: i64,
    plan: Plan,
) -> Result<Vec<(i64, i64)>, Fault> {
    let last: Option<i64> = session
        .known("SELECT max(place) FROM listed WHERE list = $1", &[&list])
        .await?;
    Ok(last.map_or_else(Vec::new, |last| plan.cut(0, last)))
}

/// Users with what their outcomes are kept under.
type Numbered = Vec<(String, Option<i64>)>;

pub(super) const USERS: &str =
    "SELECT user_id, -place FROM listed WHERE list = $1 AND user_id > $2 ORDER BY user_id LIMIT $3";

/// The users behind `after` by id, with what their outcomes are kept under.
pub(super) async fn users_of(
    session: &Session,
    publish: i64,
    after: &str,
    limit: usize,
) -> Result<Option<Numbered>, Fault> {
    let list: Option<i64> = session
        .value("SELECT list FROM lists WHERE publish = $1", &[&publish])
        .await?;
    let Some(list) = list else {
        return Ok(None);
    };
    let rows = session
        .rows(USERS, &[&list, &after, &columns::limit(limit)])
        .await?;
    let found: Result<Numbered, Fault> = rows
        .iter()
        .map(|row| Ok((row.at(0)?, row.at(1)?)))
        .collect();
    found.map(Some)
}

pub(super) const PLACES: &str = "SELECT l.place, u.user_number FROM
    (SELECT place, user_id FROM listed WHERE list = $1 AND place > $3 AND place <= $4 ORDER BY place LIMIT $5) AS l
    LEFT JOIN users u ON u.instance = $2 AND u.id = l.user_id ORDER BY l.place";
pub(super) const DEVICES: &str = "SELECT d.user_number, d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment,
        d.registered_at
    FROM unnest($2::bigint[]) AS n(number) CROSS JOIN LATERAL
        (SELECT * FROM devices WHERE instance = $1 AND user_number = n.number ORDER BY device) AS d";

/// How many users' devices are read at once for a page of so many.
const fn users_at_once(limit: usize) -> usize {
    if limit > 8 { limit } else { 8 }
}

/// Reads a page: the devices of the next users, whole users only, so that a page may be longer than asked for by what one
/// user has.
pub(super) async fn page(
    session: &Session,
    instance: i64,
    list: i64,
    window: Window,
    wanted: [bool; Platform::ALL.len()],
) -> Result<Page, Fault> {
    let limit = window.limit;
    let users_max = limit.saturating_mul(USERS_PER_DEVICE_MAX);
    let rows = session
        .rows(
            PLACES,
            &[
                &list,
                &instance,
                &window.after.0,
                &window.end.0,
                &columns::limit(users_max),
            ],
        )
        .await?;
    let mut places: Vec<(i64, Option<i64>)> = Vec::with_capacity(rows.len());
    for row in &rows {
        places.push((row.at(0)?, row.at(1)?));
    }
    let mut page = Page {
        cursor: window.after,
        ..Page::default()
    };
    for some in places.chunks(users_at_once(limit)) {
        let numbers: Vec<i64> = some.iter().filter_map(|(_, user)| *user).collect();
        let mut devices = devices_of(session, instance, &numbers, wanted).await?;
        for (place, user) in some {
            let of_user = user
                .and_then(|user| devices.remove(&user))
                .unwrap_or_default();
            let before = page.recipients.len();
            if before > 0 && before + of_user.len() > limit {
                return Ok(page);
            }
            page.recipients.extend(of_user);
            page.cursor = DeviceOrdinal(*place);
            if page.recipients.len() >= limit {
                return Ok(page);
            }
        }
    }
    if places.len() < users_max {
        page.last = true;
        page.cursor = window.end;
    }
    Ok(page)
}

/// The devices of some users, by user, each user's ascending.
async fn devices_of(
    session: &Session,
    instance: i64,
    users: &[i64],
    wanted: [bool; Platform::ALL.len()],
) -> Result<HashMap<i64, Vec<Recipient>>, Fault> {
    let mut found: HashMap<i64, Vec<Recipient>> = HashMap::new();
    if users.is_empty() {
        return Ok(found);
    }
    let is_wanted = |platform: Platform| wanted[audience::index(platform)];
    for row in session.rows(DEVICES, &[&instance, &users]).await? {
        let user: i64 = row.at(0)?;
        let read = columns::readable(columns::recipient(&row, 1, is_wanted))?;
        found
            .entry(user)
            .or_default()
            .extend(read.map(|recipient| Recipient {
                user: Some(UserOrdinal(user)),
                ..recipient
            }));
    }
    for devices in found.values_mut() {
        devices.sort_unstable_by_key(|recipient| recipient.device);
    }
    Ok(found)
}

async fn user_values(
    session: &Session,
    publish: PublishId,
    devices: &[DeviceOrdinal],
) -> Result<Vec<(DeviceOrdinal, Values)>, Fault> {
    let Some((instance, list)) = list_of(session, publish).await? else {
        return Ok(Vec::new());
    };
    let numbers: Vec<i64> = devices.iter().map(|device| device.0).collect();
    let rows = session
        .rows(
            "SELECT d.device, l.vals FROM unnest($3::bigint[]) WITH ORDINALITY AS n(device, place)
               JOIN devices d ON d.instance = $1 AND d.device = n.device
               JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
               JOIN listed l ON l.list = $2 AND l.user_id = u.id
              WHERE l.vals IS NOT NULL ORDER BY n.place",
            &[&instance, &list, &numbers],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let values =
            Values::from_stored(row.at(1)?).ok_or_else(|| corrupt("the values of a user"))?;
        found.push((DeviceOrdinal(row.at(0)?), values));
    }
    Ok(found)
}

/// Whether the users of a publish, or of the one that it replays, are known still.
pub(super) async fn knows_users(
    session: &Session,
    instance: i64,
    publish: i64,
) -> Result<bool, Fault> {
    let Some(list) = list_behind(session, instance, publish).await? else {
        return Ok(false);
    };
    session
        .known(
            "SELECT EXISTS (SELECT 1 FROM listed WHERE list = $1)",
            &[&list],
        )
        .await
}

/// The list of a publish, or of the one that it replays, behind the number of the instance.
async fn list_of(session: &Session, publish: PublishId) -> Result<Option<(i64, i64)>, Fault> {
    let row = session
        .row(
            "SELECT instance, publish FROM publishes WHERE id = $1",
            &[publish.uuid()],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let instance: i64 = row.at(0)?;
    let list = list_behind(session, instance, row.at(1)?).await?;
    Ok(list.map(|list| (instance, list)))
}

async fn list_behind(session: &Session, instance: i64, publish: i64) -> Result<Option<i64>, Fault> {
    let mut next = Some(publish);
    for _ in 0..REPLAYS_MAX {
        let Some(number) = next else { break };
        let list: Option<i64> = session
            .value("SELECT list FROM lists WHERE publish = $1", &[&number])
            .await?;
        if list.is_some() {
            return Ok(list);
        }
        next = session
            .value::<Option<i64>>(
                "SELECT replay_of FROM publishes WHERE instance = $1 AND publish = $2",
                &[&instance, &number],
            )
            .await?
            .flatten();
    }
    Ok(None)
}
