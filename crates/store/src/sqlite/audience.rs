//! Audiences: who is in one, read in pages, and how one is cut into jobs.
//!
//! Subscriptions are keyed by interest and device, and a user's devices are indexed by device, so each source of an audience
//! comes out ascending. A page merges the sources from the cursor on with a heap; a device in several of them comes up
//! several times in a row, and is taken once. Sources are read ahead in small portions, so that a page costs its limit plus
//! the number of sources, wherever it lies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use domain::device::{DeviceOrdinal, Platform, Recipient};
use domain::user::UserOrdinal;
use rusqlite::{CachedStatement, Connection, params};

use super::{columns, lists};
use crate::StoreError;
use crate::publishes::{Page, Plan, ResolvedAudience};

/// A page ends after this many devices for each one asked for, whether the publish is for their platforms or not.
const SCANNED_PER_KEPT_MAX: usize = 4;
/// The least and the most that is read ahead from a source.
const PORTION_MIN: usize = 8;
const PORTION_MAX: usize = 1024;
/// An audience of at most this many subscriptions is one job, whatever range it spans.
const SMALL_AUDIENCE_MAX: i64 = 1000;

pub(super) const SUBSCRIBERS: &str = "SELECT device FROM subscriptions
    WHERE interest = ?1 AND device > ?2 AND device <= ?3 ORDER BY device LIMIT ?4";
pub(super) const USER_DEVICES: &str = "SELECT device FROM devices
    WHERE user_number = ?1 AND device > ?2 AND device <= ?3 ORDER BY device LIMIT ?4";
pub(super) const FAILED_DEVICES: &str = "SELECT device FROM failures
    WHERE publish = ?1 AND device > ?2 AND device <= ?3 ORDER BY device LIMIT ?4";
pub(super) const RECIPIENT: &str =
    "SELECT device, platform, identity, keys, bundle_id, environment, registered_at, user_number
    FROM devices WHERE device = ?1";

/// The devices of an audience behind `after` up to `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) after: DeviceOrdinal,
    pub(super) end: DeviceOrdinal,
    pub(super) limit: usize,
}

/// What a page cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// Rows of sources that were read.
    pub(super) rows: usize,
    /// Statements that were begun to read them.
    pub(super) seeks: usize,
}

pub(super) struct Merge<'a> {
    connection: &'a Connection,
    sql: &'static str,
    sources: Vec<Source>,
    /// The next device of each source that has one.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    end: i64,
    portion: usize,
    cost: Cost,
}

struct Source {
    number: i64,
    ahead: VecDeque<i64>,
    /// Up to where it has been read.
    read_to: i64,
    exhausted: bool,
}

fn sources(audience: &ResolvedAudience) -> (&'static str, &[i64]) {
    match audience {
        ResolvedAudience::Interests(numbers) => (SUBSCRIBERS, numbers),
        ResolvedAudience::Users(numbers) => (USER_DEVICES, numbers),
        ResolvedAudience::FailuresOf(publish) => (FAILED_DEVICES, std::slice::from_ref(publish)),
        // Read by place, and never merged.
        ResolvedAudience::Listed(_) => (USER_DEVICES, &[]),
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        audience: &ResolvedAudience,
        window: Window,
    ) -> Result<Self, StoreError> {
        let (sql, numbers) = sources(audience);
        let share = 2 * window.limit / numbers.len().max(1);
        let mut merge = Self {
            connection,
            sql,
            sources: Vec::with_capacity(numbers.len()),
            heads: BinaryHeap::with_capacity(numbers.len()),
            end: window.end.0,
            portion: share.clamp(PORTION_MIN, PORTION_MAX),
            cost: Cost::default(),
        };
        for (index, number) in numbers.iter().enumerate() {
            merge.sources.push(Source {
                number: *number,
                ahead: VecDeque::new(),
                read_to: window.after.0,
                exhausted: false,
            });
            merge.advance(index)?;
        }
        Ok(merge)
    }

    /// Puts the next device of a source on the heap.
    fn advance(&mut self, index: usize) -> Result<(), StoreError> {
        let source = &mut self.sources[index];
        if source.ahead.is_empty() && !source.exhausted {
            let mut statement = self.connection.prepare_cached(self.sql)?;
            let mut rows = statement.query(params![
                source.number,
                source.read_to,
                self.end,
                columns::limit(self.portion)
            ])?;
            while let Some(row) = rows.next()? {
                source.ahead.push_back(row.get(0)?);
            }
            self.cost.seeks += 1;
            self.cost.rows += source.ahead.len();
            source.exhausted = source.ahead.len() < self.portion;
            source.read_to = source.ahead.back().copied().unwrap_or(source.read_to);
        }
        if let Some(device) = source.ahead.pop_front() {
            self.heads.push(Reverse((device, index)));
        }
        Ok(())
    }

    /// The next device of all sources together, once.
    pub(super) fn next(&mut self) -> Result<Option<i64>, StoreError> {
        let Some(Reverse((device, _))) = self.heads.peek().copied() else {
            return Ok(None);
        };
        while let Some(Reverse((head, index))) = self.heads.peek().copied() {
            if head != device {
                break;
            }
            self.heads.pop();
            self.advance(index)?;
        }
        Ok(Some(device))
    }
}

/// Reads the devices of an audience by their numbers.
struct Reading<'a> {
    statement: CachedStatement<'a>,
    wanted: [bool; Platform::ALL.len()],
    is_for_users: bool,
}

impl<'a> Reading<'a> {
    fn new(
        connection: &'a Connection,
        audience: &ResolvedAudience,
        wanted: [bool; Platform::ALL.len()],
    ) -> Result<Self, StoreError> {
        Ok(Self {
            statement: connection.prepare_cached(RECIPIENT)?,
            wanted,
            is_for_users: matches!(audience, ResolvedAudience::Users(_)),
        })
    }

    /// A device, if it is there and of a platform wanted.
    fn recipient(&mut self, device: i64) -> Result<Option<Recipient>, StoreError> {
        let is_wanted = |platform: Platform| self.wanted[index(platform)];
        let mut rows = self.statement.query([device])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let mut recipient = columns::readable(columns::recipient(row, 0, is_wanted))?;
        if let (true, Some(recipient)) = (self.is_for_users, &mut recipient) {
            recipient.user = row.get::<_, Option<i64>>(7)?.map(UserOrdinal);
        }
        Ok(recipient)
    }
}

/// Reads a page: devices of the platforms wanted, ascending, each once.
pub(super) fn page(
    connection: &Connection,
    audience: &ResolvedAudience,
    window: Window,
    wanted: [bool; Platform::ALL.len()],
) -> Result<(Page, Cost), StoreError> {
    if let ResolvedAudience::Listed(list) = audience {
        return Ok((
            lists::page(connection, *list, window, wanted)?,
            Cost::default(),
        ));
    }
    let limit = window.limit.max(1);
    let scanned_max = limit.saturating_mul(SCANNED_PER_KEPT_MAX);
    let mut merge = Merge::new(connection, audience, Window { limit, ..window })?;
    let mut reading = Reading::new(connection, audience, wanted)?;
    let mut page = Page {
        cursor: window.after,
        ..Page::default()
    };
    let mut scanned = 0;
    while page.recipients.len() < limit && scanned < scanned_max {
        let Some(device) = merge.next()? else { break };
        scanned += 1;
        page.cursor = DeviceOrdinal(device);
        page.recipients.extend(reading.recipient(device)?);
    }
    if merge.heads.is_empty() {
        page.last = true;
        page.cursor = window.end;
    }
    Ok((page, merge.cost))
}

/// An audience that was read whole: the range of its one job, and that job's only page.
pub(super) struct Whole {
    pub(super) range: (i64, i64),
    pub(super) page: Page,
}

/// Reads a small audience whole, which costs less than to find out where it begins and ends. `None` if it has more devices
/// than the plan has room for in a first page, or none at all.
pub(super) fn whole(
    connection: &Connection,
    audience: &ResolvedAudience,
    plan: Plan,
    wanted: [bool; Platform::ALL.len()],
) -> Result<Option<Whole>, StoreError> {
    let (_, numbers) = sources(audience);
    let span = usize::try_from(plan.job_span).unwrap_or(usize::MAX);
    let most = plan.first_page_max.min(span);
    if matches!(audience, ResolvedAudience::Listed(_)) || numbers.len() > most {
        return Ok(None);
    }
    let window = Window {
        after: DeviceOrdinal::default(),
        end: DeviceOrdinal(i64::MAX),
        limit: most + 1,
    };
    let mut merge = Merge::new(connection, audience, window)?;
    let mut devices = Vec::with_capacity(most);
    while let Some(device) = merge.next()? {
        if devices.len() == most {
            return Ok(None);
        }
        devices.push(device);
    }
    let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
        return Ok(None);
    };
    let range = (first - 1, *last);
    let mut reading = Reading::new(connection, audience, wanted)?;
    let mut page = Page {
        cursor: DeviceOrdinal(*last),
        last: true,
        ..Page::default()
    };
    for device in devices {
        page.recipients.extend(reading.recipient(device)?);
    }
    Ok(Some(Whole { range, page }))
}

/// Where a platform stands in the array that [`page`] takes.
pub(super) const fn index(platform: Platform) -> usize {
    match platform {
        Platform::Apns => 0,
        Platform::Fcm => 1,
        Platform::Web => 2,
    }
}

/// The ranges `(cursor, end]` of the jobs for an audience: side by side, from before its first device to its last. None
/// where it has no device.
pub(super) fn ranges(
    connection: &Connection,
    audience: &ResolvedAudience,
    plan: Plan,
) -> Result<Vec<(i64, i64)>, StoreError> {
    if let ResolvedAudience::Listed(list) = audience {
        return lists::ranges(connection, *list, plan);
    }
    let Some((first, last)) = bounds(connection, audience)? else {
        return Ok(Vec::new());
    };
    let before = first - 1;
    let width = last - before;
    let span = plan.job_span.max(1);
    if width <= span || is_small(connection, audience, span.min(SMALL_AUDIENCE_MAX))? {
        return Ok(vec![(before, last)]);
    }
    Ok(plan.cut(before, last))
}

/// The first and the last device of an audience.
fn bounds(
    connection: &Connection,
    audience: &ResolvedAudience,
) -> Result<Option<(i64, i64)>, StoreError> {
    // Two statements of one `min` or `max` each: SQLite answers those from one end of the index.
    let (first_sql, last_sql) = match audience {
        ResolvedAudience::Interests(_) => (
            "SELECT min(device) FROM subscriptions WHERE interest = ?1",
            "SELECT max(device) FROM subscriptions WHERE interest = ?1",
        ),
        ResolvedAudience::Users(_) | ResolvedAudience::Listed(_) => (
            "SELECT min(device) FROM devices WHERE user_number = ?1",
            "SELECT max(device) FROM devices WHERE user_number = ?1",
        ),
        ResolvedAudience::FailuresOf(_) => (
            "SELECT min(device) FROM failures WHERE publish = ?1",
            "SELECT max(device) FROM failures WHERE publish = ?1",
        ),
    };
    let (_, numbers) = sources(audience);
    let mut first_statement = connection.prepare_cached(first_sql)?;
    let mut last_statement = connection.prepare_cached(last_sql)?;
    let mut bounds: Option<(i64, i64)> = None;
    for number in numbers {
        let first: Option<i64> = first_statement.query_row([number], |row| row.get(0))?;
        let last: Option<i64> = last_statement.query_row([number], |row| row.get(0))?;
        if let (Some(first), Some(last)) = (first, last) {
            bounds = Some(match bounds {
                Some((least, most)) => (least.min(first), most.max(last)),
                None => (first, last),
            });
        }
    }
    Ok(bounds)
}

/// Whether an audience has at most `most` devices, a device counted as often as it is in it. Reads no more than that.
fn is_small(
    connection: &Connection,
    audience: &ResolvedAudience,
    most: i64,
) -> Result<bool, StoreError> {
    let sql = match audience {
        ResolvedAudience::Interests(_) => {
            "SELECT count(*) FROM (SELECT 1 FROM subscriptions WHERE interest = ?1 LIMIT ?2)"
        }
        ResolvedAudience::Users(_) | ResolvedAudience::Listed(_) => {
            "SELECT count(*) FROM (SELECT 1 FROM devices WHERE user_number = ?1 LIMIT ?2)"
        }
        ResolvedAudience::FailuresOf(_) => {
            "SELECT count(*) FROM (SELECT 1 FROM failures WHERE publish = ?1 LIMIT ?2)"
        }
    };
    let (_, numbers) = sources(audience);
    let mut statement = connection.prepare_cached(sql)?;
    let mut left = most;
    for number in numbers {
        let has: i64 = statement.query_row([*number, left + 1], |row| row.get(0))?;
        left -= has;
        if left < 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
