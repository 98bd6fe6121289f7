//! The latest publishes, and what they come to by day.

use std::time::Duration;

use domain::clock::Timestamp;
use store::lookup::{PublishCursor, PublishReport};

use super::error::PageError;
use super::room::Room;
use crate::http::Api;

/// How many publishes are looked at, and in how many pieces they are read.
pub(super) const LATEST: usize = 500;
const READ_AT_ONCE: usize = 100;
/// How many days the charts have.
pub(super) const DAYS: u32 = 30;

/// A publish is nobody's day's twice: the day, in UTC, is the one on which it is sent.
pub(super) struct Day {
    /// As `2026-11-23`.
    pub(super) label: String,
    /// Its publishes.
    pub(super) reports: Vec<PublishReport>,
}

/// The latest publishes of an instance, the newest first.
pub(super) async fn publishes(api: &Api, room: &Room) -> Result<Vec<PublishReport>, PageError> {
    let mut reports = Vec::new();
    let mut after: Option<PublishCursor> = None;
    while reports.len() < LATEST {
        let page = api
            .store()
            .list_publishes(room.id(), None, after, READ_AT_ONCE)
            .await?;
        reports.extend(page.publishes);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(reports)
}

/// The day of a point in time, in UTC.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// The last [`DAYS`] days up to `now`, each with its publishes.
pub(super) fn by_day(reports: &[PublishReport], now: Timestamp) -> Vec<Day> {
    (0..DAYS)
        .rev()
        .map(|ago| day(now.before(Duration::from_secs(24 * 60 * 60) * ago)))
        .map(|label| Day {
            reports: reports
                .iter()
                .filter(|report| day(report.send_at) == label)
                .cloned()
                .collect(),
            label,
        })
        .collect()
}
