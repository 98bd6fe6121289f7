//! On which days devices were active, and what they come to.
//!
//! A device is active on a day, in UTC, if it registered or registered again (with a new gateway token too), said what its
//! interests are, was bound to its user, or reported an event of a publish. What is imported was not active by that. Each device's row
//! holds its last [`ACTIVE_DAYS`] days as the last one and a bit for each before, and is written for it at most once a day: so
//! this grows with the devices alone, and costs a registration no row more than it writes anyway. What is counted is therefore always of
//! the devices that are there now: one that is gone has taken its days along.

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};

use crate::administration::ListedDevice;

/// How many days back a device's activity is known, today among them.
pub const ACTIVE_DAYS: u32 = 30;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day of a point in time.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.as_millis().div_euclid(DAY_MILLIS))
    }

    /// Its beginning.
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_millis(self.0 * DAY_MILLIS)
    }

    /// The day that was `days` earlier.
    #[must_use]
    pub const fn earlier(self, days: u32) -> Self {
        Self(self.0 - days as i64)
    }

    pub(crate) const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Counted from the Unix epoch.
    pub(crate) const fn number(self) -> i64 {
        self.0
    }
}

/// On which days one device was active, as it is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// The last day; 0 for none.
    pub(crate) last: i64,
    /// A bit for each day back from the last one, which has the least.
    pub(crate) days: i64,
}

impl Activity {
    /// As it is once the device was active on a day. A clock that lags behind another node's changes nothing.
    #[cfg(any(test, feature = "conformance"))]
    pub(crate) fn touched(self, today: Day) -> Self {
        let kept = (1 << ACTIVE_DAYS) - 1;
        let passed = (today.0 - self.last).clamp(0, i64::from(ACTIVE_DAYS));
        Self {
            last: self.last.max(today.0),
            days: ((self.days << passed) | 1) & kept,
        }
    }

    /// The days, the newest first.
    pub fn on(self) -> impl Iterator<Item = Day> {
        (0..ACTIVE_DAYS)
            .filter(move |back| self.days & (1 << back) != 0)
            .map(move |back| Day(self.last).earlier(back))
    }

    /// Whether the device was active on any of these days.
    pub(crate) fn is_within(self, span: Days) -> bool {
        let (newest, oldest) = (self.last - span.until.0, self.last - span.from.0);
        if oldest < 0 || newest >= i64::from(ACTIVE_DAYS) {
            return false;
        }
        (newest.max(0)..=oldest.min(i64::from(ACTIVE_DAYS) - 1))
            .any(|day| self.days & (1 << day) != 0)
    }
}

/// Some days one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Day,
    /// The last.
    pub until: Day,
}

impl Days {
    /// One day alone.
    pub const fn one(day: Day) -> Self {
        Self {
            from: day,
            until: day,
        }
    }

    /// The last [`ACTIVE_DAYS`] days, up to this one.
    pub const fn up_to(today: Day) -> Self {
        Self {
            from: today.earlier(ACTIVE_DAYS - 1),
            until: today,
        }
    }
}

/// How many devices of one platform there are, and were active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlatformDevices {
    /// All that there are.
    pub devices: u64,
    /// Those that were active on any of the last [`ACTIVE_DAYS`] days.
    pub active: u64,
    /// Those that were active on each day: today, yesterday, and so on.
    pub by_day: [u64; ACTIVE_DAYS as usize],
}

/// The same of each platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceCounts([PlatformDevices; Platform::ALL.len()]);

impl DeviceCounts {
    /// Those of a platform.
    pub const fn of(&self, platform: Platform) -> &PlatformDevices {
        &self.0[platform as usize]
    }

    /// These and others.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            sum.devices += more.devices;
            sum.active += more.active;
            for (sum, more) in sum.by_day.iter_mut().zip(more.by_day) {
                *sum += more;
            }
        }
    }

    /// Counts one device more.
    pub(crate) fn count(&mut self, platform: Platform, activity: Activity, today: Day) {
        let counts = &mut self.0[platform as usize];
        counts.devices += 1;
        counts.active += u64::from(activity.is_within(Days::up_to(today)));
        for (day, count) in (0..).zip(&mut counts.by_day) {
            *count += u64::from(activity.is_within(Days::one(today.earlier(day))));
        }
    }
}

/// What some of an instance's devices come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedDevices {
    /// Of those looked at.
    pub counts: DeviceCounts,
    /// Behind which device to go on; `None` if these were the last.
    pub next: Option<DeviceOrdinal>,
}

/// Which devices are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WantedDevices {
    /// Those of a platform.
    pub platform: Option<Platform>,
    /// Those that were active on any of these days.
    pub active: Option<Days>,
}

impl WantedDevices {
    /// Whether a device is among them.
    pub(crate) fn has(&self, platform: Platform, activity: Activity) -> bool {
        self.platform.is_none_or(|wanted| wanted == platform)
            && self.active.is_none_or(|span| activity.is_within(span))
    }
}

/// Some of the devices that were wanted, ascending by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundDevices {
    /// The devices.
    pub devices: Vec<ListedDevice>,
    /// Behind which device to go on; `None` at the end. There may be one and yet no device.
    pub next: Option<DeviceOrdinal>,
}

/// One device as far as counting needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) device: i64,
    pub(crate) platform: Platform,
    pub(crate) activity: Activity,
}

/// What devices that were read come to. There may be more behind them if there were as many as the `limit`.
pub(crate) fn counted(seen: &[Seen], today: Day, limit: usize) -> CountedDevices {
    let mut counts = DeviceCounts::default();
    for one in seen {
        counts.count(one.platform, one.activity, today);
    }
    let last = seen.last().filter(|_| seen.len() >= limit);
    CountedDevices {
        counts,
        next: last.map(|last| DeviceOrdinal(last.device)),
    }
}

/// The first `limit` of the devices that are wanted among `looked_max` that were read, and where to go on.
pub(crate) fn found(
    seen: &[Seen],
    wanted: &WantedDevices,
    limit: usize,
    looked_max: usize,
) -> (Vec<i64>, Option<DeviceOrdinal>) {
    let fits = seen
        .iter()
        .filter(|one| wanted.has(one.platform, one.activity));
    let mut devices: Vec<i64> = fits.take(limit + 1).map(|one| one.device).collect();
    let next = if devices.len() > limit {
        devices.truncate(limit);
        devices.last().copied()
    } else {
        let last = seen.last().filter(|_| seen.len() >= looked_max);
        last.map(|last| last.device)
    };
    (devices, next.map(DeviceOrdinal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_remembers_its_last_days_and_no_others() {
        let day = |number| Day(20_000 + number);
        let mut activity = Activity::default();
        assert!(!activity.is_within(Days::up_to(day(0))));
        for number in [0, 2, 2, 29, 40] {
            activity = activity.touched(day(number));
        }
        let active: Vec<i64> = (0..=41)
            .filter(|number| activity.is_within(Days::one(day(*number))))
            .collect();
        assert_eq!(active, [29, 40]);
        assert!(activity.is_within(Days {
            from: day(30),
            until: day(40)
        }));
        assert!(!activity.is_within(Days {
            from: day(30),
            until: day(39)
        }));
        assert!(!activity.is_within(Days {
            from: day(41),
            until: day(70)
        }));
        // A clock that lags behind.
        assert_eq!(activity.touched(day(39)), activity);
        // After a long time nothing else is left.
        let later = activity.touched(day(100_000));
        assert_eq!(later.days, 1);
        assert!(!later.is_within(Days::one(day(40))));
    }

    #[test]
    fn days_begin_at_midnight_in_utc() {
        let day = Day::of(Timestamp::parse_rfc3339("2026-11-23T23:59:59Z").unwrap());
        assert_eq!(day.begins().to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(Day::of(day.begins()), day);
        assert_eq!(day.earlier(23).begins().to_string(), "2026-10-31T00:00:00Z");
    }
}
