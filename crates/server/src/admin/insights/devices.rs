//! How many devices an instance has, and how many were active, by platform.
//!
//! They are counted in pieces, each a short read. A count of many is kept for a while and shown with its time, so that a page
//! costs the same whether there are a thousand devices or a million.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use serde::Serialize;
use store::activity::{ACTIVE_DAYS, Day, Days, DeviceCounts, FoundDevices, WantedDevices};
use utoipa::ToSchema;

use super::super::Admin;
use super::super::error::AdminError;

/// How many devices one read counts.
const PIECE: usize = 20_000;
/// How long a count is kept that took more than one read.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// How many instances' counts are kept; the oldest go.
const KEPT_MAX: usize = 256;
/// How many reads one page of a list may take, each of which looks at [`PIECE`] devices or so.
const SEARCHES_MAX: usize = 20;

/// Devices as counted at some time.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// When.
    pub at: Timestamp,
    /// How many.
    pub counts: DeviceCounts,
}

impl Counted {
    /// All devices there are.
    pub fn devices(&self) -> u64 {
        let platforms = Platform::ALL.into_iter();
        platforms.map(|one| self.counts.of(one).devices).sum()
    }

    /// All that were active within the last [`ACTIVE_DAYS`] days.
    pub fn active(&self) -> u64 {
        let platforms = Platform::ALL.into_iter();
        platforms.map(|one| self.counts.of(one).active).sum()
    }

    /// The days that are counted, the oldest first, with how many devices of each platform were active.
    pub fn days(&self) -> impl Iterator<Item = (Day, [u64; Platform::ALL.len()])> {
        let today = Day::of(self.at);
        (0..ACTIVE_DAYS).rev().map(move |ago| {
            let of = |platform| self.counts.of(platform).by_day[ago as usize];
            (today.earlier(ago), Platform::ALL.map(of))
        })
    }
}

/// Counts that are kept for a while. One at a time is counted for an instance, and whoever comes meanwhile waits for it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kept: Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<Option<Counted>>>>>,
}

impl Counts {
    fn place(&self, instance: InstanceId) -> Arc<tokio::sync::Mutex<Option<Counted>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX && !kept.contains_key(&instance) {
            kept.clear();
        }
        Arc::clone(kept.entry(instance).or_default())
    }
}

/// Counts the devices of an instance, or tells the count of some minutes ago if they are many.
pub async fn count(admin: &Admin, instance: InstanceId) -> Result<Counted, AdminError> {
    let place = admin.counts.place(instance);
    let mut kept = place.lock().await;
    let now = admin.now();
    if let Some(counted) = *kept
        && now.since(counted.at) < KEPT
        && Day::of(now) == Day::of(counted.at)
    {
        return Ok(counted);
    }
    let mut counts = DeviceCounts::default();
    let (mut after, mut pieces) = (DeviceOrdinal(0), 0);
    loop {
        let piece = admin
            .store()
            .count_devices(instance, Day::of(now), after, PIECE)
            .await?;
        counts.add(&piece.counts);
        pieces += 1;
        match piece.next {
            Some(next) => after = next,
            None => break,
        }
    }
    let counted = Counted { at: now, counts };
    *kept = (pieces > 1).then_some(counted);
    Ok(counted)
}

/// Devices that are wanted, behind `after`, at most `limit`; there may be fewer and yet more behind them.
pub async fn find(
    admin: &Admin,
    instance: InstanceId,
    wanted: WantedDevices,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<FoundDevices, AdminError> {
    let mut found = FoundDevices {
        devices: Vec::new(),
        next: Some(after),
    };
    for _ in 0..SEARCHES_MAX {
        let Some(next) = found.next else { break };
        let missing = limit - found.devices.len();
        let piece = admin
            .store()
            .find_devices(instance, wanted, next, missing)
            .await?;
        found.devices.extend(piece.devices);
        found.next = piece.next;
        if found.devices.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// The days that a word of the URL means: `30d`, or a day as `2026-11-23`.
pub fn days(word: &str, now: Timestamp) -> Option<Days> {
    if word == LAST_DAYS {
        return Some(Days::up_to(Day::of(now)));
    }
    let begins = Timestamp::parse_rfc3339(&format!("{word}T00:00:00Z"))?;
    Some(Days::one(Day::of(begins)))
}

/// The last [`ACTIVE_DAYS`] days, in a word.
pub const LAST_DAYS: &str = "30d";

/// A day as `2026-11-23`.
pub fn label(day: Day) -> String {
    day.begins().to_string().chars().take(10).collect()
}

/// Devices of a platform, now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicesNow {
    /// `apns`, `fcm` or `web`.
    pub platform: &'static str,
    /// All that there are.
    pub devices: u64,
    /// Those that were active on any of the last 30 days.
    pub active30_days: u64,
}

/// Devices of a platform that were active on a day.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DevicesOnDay {
    /// The day in UTC, as `2026-11-23`.
    pub day: String,
    /// `apns`, `fcm` or `web`.
    pub platform: &'static str,
    /// How many of the devices that there are now; never 0.
    pub devices: u64,
}

/// How many devices there are, and were active: registered, bound to their user, said their interests, or reported something.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceInsights {
    /// When they were counted; a few minutes ago where they are many.
    #[schema(format = "date-time")]
    pub counted_at: String,
    /// By platform.
    pub now: Vec<DevicesNow>,
    /// The last 30 days, the oldest first.
    pub active_by_day: Vec<DevicesOnDay>,
}

impl DeviceInsights {
    /// What is told of a count.
    pub fn of(counted: &Counted) -> Self {
        let now = |platform: Platform| DevicesNow {
            platform: platform.as_str(),
            devices: counted.counts.of(platform).devices,
            active30_days: counted.counts.of(platform).active,
        };
        let on_day = |(day, devices): (Day, [u64; 3])| {
            let of = Platform::ALL.into_iter().zip(devices);
            let there = of.filter(|(_, devices)| *devices > 0);
            let told = there.map(move |(platform, devices)| DevicesOnDay {
                day: label(day),
                platform: platform.as_str(),
                devices,
            });
            told.collect::<Vec<_>>()
        };
        Self {
            counted_at: counted.at.to_string(),
            now: Platform::ALL.into_iter().map(now).collect(),
            active_by_day: counted.days().flat_map(on_day).collect(),
        }
    }
}
