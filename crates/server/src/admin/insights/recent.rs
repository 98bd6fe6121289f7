//! The latest publishes, which is what charts over time are made of.
//!
//! A publish belongs to the hour and day in which it is sent, not to that in which a device says something of it, so that parts are
//! of their wholes. How many are looked at is bounded: who publishes more often than that in a month sees the latest, and is told so.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use store::lookup::{PublishCursor, PublishReport};

use super::super::Admin;
use super::super::error::AdminError;

/// How many publishes are looked at, and in how many pieces they are read.
pub const LATEST: usize = 1000;
const READ_AT_ONCE: usize = 100;

/// The latest publishes of an instance.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// The newest first.
    pub reports: Vec<PublishReport>,
    /// Whether there are older ones that were not looked at.
    pub is_cut: bool,
}

impl Recent {
    /// Those that are sent at or after `from` and before `until`.
    pub fn between(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = &PublishReport> {
        let reports = self.reports.iter();
        reports.filter(move |report| (from..until).contains(&report.send_at))
    }
}

/// The latest publishes of an instance, at most [`LATEST`].
pub async fn publishes(admin: &Admin, instance: InstanceId) -> Result<Recent, AdminError> {
    let mut recent = Recent::default();
    let mut after: Option<PublishCursor> = None;
    loop {
        let page = admin
            .store()
            .list_publishes(instance, None, after, READ_AT_ONCE)
            .await?;
        recent.reports.extend(page.publishes);
        after = page.next;
        if after.is_none() {
            return Ok(recent);
        }
        if recent.reports.len() >= LATEST {
            recent.is_cut = true;
            return Ok(recent);
        }
    }
}
