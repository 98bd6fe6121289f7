//! Lists of users: told in pieces, read in pages in the order of their places, forgotten in pieces.
//!
//! Who has which devices is looked up when a page is read. The place of a user takes the part of the device's number in cursors
//! and jobs. Since a device has one user, none comes up twice. What became of the publish for a user is kept under the place,
//! too: it stays when the user goes, and it is negative there, since numbers of users are not.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::payload::Values;
use domain::publish::{PublishId, UserList};
use domain::user::UserOrdinal;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audience::{self, Window};
use super::{SqliteStore, columns, instances};
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
impl UserLists for SqliteStore {
    async fn begin_list(&self, instance: InstanceId, now: Timestamp) -> Result<i64, StoreError> {
        self.writer.run(move |c| begin(c, instance, now)).await
    }

    async fn extend_list(
        &self,
        list: i64,
        length: u64,
        users: Vec<Listed>,
    ) -> Result<Option<usize>, StoreError> {
        let users: Vec<(Listed, Option<String>)> = users
            .into_iter()
            .map(|listed| {
                let values = listed.values.as_ref().map(Values::as_json);
                (listed, values)
            })
            .collect();
        self.writer
            .run(move |c| extend(c, list, length, &users))
            .await
    }

    async fn discard_list(&self, list: i64) -> Result<(), StoreError> {
        while !self.writer.run(move |c| discard(c, list)).await? {}
        Ok(())
    }

    async fn prune_lists(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut pruned = 0;
        while pruned < limit as u64 {
            let piece = self.writer.run(move |c| forget(c, before)).await?;
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
        self.readers
            .run(move |c| user_values(c, publish, &devices))
            .await
    }
}

fn begin(connection: &Connection, instance: InstanceId, now: Timestamp) -> Result<i64, StoreError> {
    let instance = instances::known(connection, instance)?;
    connection
        .prepare_cached("INSERT INTO lists (instance, created_at) VALUES (?1, ?2)")?
        .execute([instance, now.as_millis()])?;
    Ok(connection.last_insert_rowid())
}

fn gone() -> StoreError {
    super::error::unavailable("the list of users is gone")
}

fn place(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| gone())
}

/// Nothing stays of a piece that has somebody whom the list has.
fn extend(
    connection: &Connection,
    list: i64,
    length: u64,
    users: &[(Listed, Option<String>)],
) -> Result<Option<usize>, StoreError> {
    let is_open = connection
        .prepare_cached("SELECT 1 FROM lists WHERE list = ?1 AND publish IS NULL")?
        .exists([list])?;
    if !is_open {
        return Err(gone());
    }
    let before = place(length)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO listed (list, place, user, vals) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    let mut at = before;
    for (index, (listed, values)) in users.iter().enumerate() {
        at += 1;
        if statement.execute(params![list, at, listed.user.as_str(), values])? == 0 {
            connection
                .prepare_cached("DELETE FROM listed WHERE list = ?1 AND place > ?2")?
                .execute([list, before])?;
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Removes a piece of a list that is nobody's; `true` when nothing of it is left.
fn discard(connection: &Connection, list: i64) -> Result<bool, StoreError> {
    let is_open = connection
        .prepare_cached("SELECT 1 FROM lists WHERE list = ?1 AND publish IS NULL")?
        .exists([list])?;
    if !is_open {
        return Ok(true);
    }
    let removed = connection
        .prepare_cached(
            "DELETE FROM listed WHERE list = ?1 AND place IN
                (SELECT place FROM listed WHERE list = ?1 ORDER BY place LIMIT ?2)",
        )?
        .execute([list, REMOVED_MAX])?;
    if columns::limit(removed) < REMOVED_MAX {
        connection
            .prepare_cached("DELETE FROM lists WHERE list = ?1")?
            .execute([list])?;
        return Ok(true);
    }
    Ok(false)
}

/// Removes a piece of a list that was begun before `before` and is nobody's, or not any more: whether that was the last of it.
/// `None` if there is no such list.
fn forget(connection: &Connection, before: Timestamp) -> Result<Option<bool>, StoreError> {
    let list: Option<i64> = connection
        .prepare_cached(
            "SELECT list FROM lists WHERE publish IS NULL AND created_at < ?1 ORDER BY created_at LIMIT 1",
        )?
        .query_row([before.as_millis()], |row| row.get(0))
        .optional()?;
    list.map(|list| discard(connection, list)).transpose()
}

/// Removes a piece of the lists of an instance that has no publishes any more; `true` when nothing is left.
pub(super) fn purge(connection: &Connection, instance: i64) -> Result<bool, StoreError> {
    let list: Option<i64> = connection
        .prepare_cached("SELECT list FROM lists WHERE instance = ?1 ORDER BY list LIMIT 1")?
        .query_row([instance], |row| row.get(0))
        .optional()?;
    match list {
        None => Ok(true),
        Some(list) => discard(connection, list).map(|_| false),
    }
}

/// Makes an open list of an instance the audience of a publish.
pub(super) fn take(
    connection: &Connection,
    instance: i64,
    list: UserList,
    publish: i64,
) -> Result<(), StoreError> {
    let taken = connection
        .prepare_cached(
            "UPDATE lists SET publish = ?3 WHERE list = ?1 AND instance = ?2 AND publish IS NULL",
        )?
        .execute([list.number, instance, publish])?;
    if taken == 1 { Ok(()) } else { Err(gone()) }
}

/// The ranges of places of the jobs for a list.
pub(super) fn ranges(
    connection: &Connection,
    list: i64,
    plan: Plan,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(place) FROM listed WHERE list = ?1")?
        .query_row([list], |row| row.get(0))?;
    Ok(last.map_or_else(Vec::new, |last| plan.cut(0, last)))
}

/// Users with what their outcomes are kept under.
type Numbered = Vec<(String, Option<i64>)>;

/// The users behind `after` by id, with what their outcomes are kept under.
pub(super) fn users_of(
    connection: &Connection,
    publish: i64,
    after: &str,
    limit: usize,
) -> Result<Option<Numbered>, StoreError> {
    let Some(list) = of_publish(connection, publish)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT user, -place FROM listed WHERE list = ?1 AND user > ?2 ORDER BY user LIMIT ?3",
    )?;
    let found = statement
        .query_map(params![list, after, columns::limit(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(found))
}

/// The list that is the audience of a publish.
pub(super) fn of_publish(connection: &Connection, publish: i64) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT list FROM lists WHERE publish = ?1")?
        .query_row([publish], |row| row.get(0))
        .optional()?)
}

/// What the outcome of a user of a list is kept under; `None` of one who has no device any more.
pub(super) fn kept_under(
    connection: &Connection,
    list: i64,
    user_number: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT -l.place FROM users u CROSS JOIN listed l ON l.list = ?1 AND l.user = u.id WHERE u.user_number = ?2",
        )?
        .query_row([list, user_number], |row| row.get(0))
        .optional()?)
}

/// Reads a page: the devices of the next users, whole users only, so that a page may be longer than asked for by what one
/// user has.
pub(super) fn page(
    connection: &Connection,
    list: i64,
    window: Window,
    wanted: [bool; Platform::ALL.len()],
) -> Result<Page, StoreError> {
    let limit = window.limit.max(1);
    let users_max = limit.saturating_mul(USERS_PER_DEVICE_MAX);
    let mut users = connection.prepare_cached(
        "SELECT l.place, u.user_number
           FROM lists s CROSS JOIN listed l ON l.list = s.list
                LEFT JOIN users u ON u.instance = s.instance AND u.id = l.user
          WHERE s.list = ?1 AND l.place > ?2 AND l.place <= ?3 ORDER BY l.place LIMIT ?4",
    )?;
    let mut devices = connection.prepare_cached(
        "SELECT device, platform, identity, keys, bundle_id, environment, registered_at
           FROM devices WHERE user_number = ?1 ORDER BY device",
    )?;
    let mut page = Page {
        cursor: window.after,
        ..Page::default()
    };
    let window_of = params![
        list,
        window.after.0,
        window.end.0,
        columns::limit(users_max)
    ];
    let mut rows = users.query(window_of)?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        seen += 1;
        let (place, user): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
        if let Some(user) = user {
            let before = page.recipients.len();
            let mut of_user = devices.query([user])?;
            while let Some(row) = of_user.next()? {
                let is_wanted = |platform: Platform| wanted[audience::index(platform)];
                let read = columns::readable(columns::recipient(row, 0, is_wanted))?;
                page.recipients.extend(read.map(|mut recipient| {
                    recipient.user = Some(UserOrdinal(user));
                    recipient
                }));
            }
            if before > 0 && page.recipients.len() > limit {
                page.recipients.truncate(before);
                return Ok(page);
            }
        }
        page.cursor = DeviceOrdinal(place);
        if page.recipients.len() >= limit {
            break;
        }
    }
    if page.recipients.len() < limit && seen < users_max {
        page.last = true;
        page.cursor = window.end;
    }
    Ok(page)
}

fn user_values(
    connection: &Connection,
    publish: PublishId,
    devices: &[DeviceOrdinal],
) -> Result<Vec<(DeviceOrdinal, Values)>, StoreError> {
    let Some(list) = list_of(connection, publish)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT l.vals FROM devices d CROSS JOIN users u ON u.user_number = d.user_number
                CROSS JOIN listed l ON l.list = ?1 AND l.user = u.id
          WHERE d.device = ?2 AND l.vals IS NOT NULL",
    )?;
    let mut found = Vec::with_capacity(devices.len());
    for device in devices {
        let values: Option<String> = statement
            .query_row([list, device.0], |row| row.get(0))
            .optional()?;
        if let Some(values) = values {
            let values = Values::from_stored(&values)
                .ok_or_else(|| StoreError::Corrupt("the values of a user".into()))?;
            found.push((*device, values));
        }
    }
    Ok(found)
}

/// Whether the users of a publish, or of the one that it replays, are known still.
pub(super) fn knows_users(connection: &Connection, publish: i64) -> Result<bool, StoreError> {
    let Some(list) = list_behind(connection, publish)? else {
        return Ok(false);
    };
    Ok(connection
        .prepare_cached("SELECT 1 FROM listed WHERE list = ?1 LIMIT 1")?
        .exists([list])?)
}

/// The list of a publish, or of the one that it replays.
fn list_of(connection: &Connection, publish: PublishId) -> Result<Option<i64>, StoreError> {
    let number: Option<i64> = connection
        .prepare_cached("SELECT publish FROM publishes WHERE id = ?1")?
        .query_row([publish.uuid().as_bytes()], |row| row.get(0))
        .optional()?;
    match number {
        Some(number) => list_behind(connection, number),
        None => Ok(None),
    }
}

fn list_behind(connection: &Connection, publish: i64) -> Result<Option<i64>, StoreError> {
    let mut next = Some(publish);
    for _ in 0..REPLAYS_MAX {
        let Some(number) = next else { break };
        let list = of_publish(connection, number)?;
        if list.is_some() {
            return Ok(list);
        }
        next = connection
            .prepare_cached("SELECT replay_of FROM publishes WHERE publish = ?1")?
            .query_row([number], |row| row.get(0))
            .optional()?
            .flatten();
    }
    Ok(None)
}
