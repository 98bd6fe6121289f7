//! What devices reported over time, by the hour or by the day; what publishes came to; how many devices there are.

pub mod devices;
pub mod rates;
pub mod recent;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use serde::Serialize;
use store::activity::Day;
use store::insights::HOUR;
use store::lookup::PublishReport;
use store::publishes::EventKind;
use utoipa::ToSchema;

use rates::Reached;
use recent::Recent;

use super::Admin;
use super::error::AdminError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the time is that one count is of. In UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Step {
    /// How long it is.
    pub const fn length(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }

    /// The longest time that is told of at once: two weeks by the hour, or some more than a year by the day.
    pub const fn span_max(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(14 * 24 * 60 * 60),
            Self::Day => Duration::from_secs(400 * 24 * 60 * 60),
        }
    }

    /// The beginning of the step that a point in time is in.
    pub fn of(self, at: Timestamp) -> Timestamp {
        let length = i64::try_from(self.length().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(at.as_millis().div_euclid(length) * length)
    }
}

/// What devices of a platform reported within a step. A step in which nothing was reported has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventCount {
    /// When the step begins.
    #[schema(format = "date-time")]
    pub begins: String,
    /// `apns`, `fcm` or `web`.
    pub platform: &'static str,
    /// Reports that a publish was delivered.
    pub delivered: u64,
    /// Reports that one was opened.
    pub opened: u64,
}

/// What the publishes came to that were sent within a step. A step without any has none.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateCount {
    /// When the step begins.
    #[schema(format = "date-time")]
    pub begins: String,
    /// How many publishes.
    pub publishes: u64,
    /// Deliveries that gateways took.
    pub accepted: u64,
    /// Deliveries that devices reported to have got.
    pub delivered: u64,
    /// Deliveries whose notification was opened.
    pub opened: u64,
    /// `delivered` over `accepted`; null if nothing was accepted.
    pub acknowledgement_rate: Option<f64>,
    /// `opened` over `delivered`; null if nothing was delivered.
    pub open_rate: Option<f64>,
}

/// What the latest publishes came to that were sent from the step that `from` is in up to the one that `until` is in. The times
/// have been checked.
pub fn rates(recent: &Recent, from: Timestamp, until: Timestamp, step: Step) -> Vec<RateCount> {
    let mut steps: BTreeMap<Timestamp, Vec<&PublishReport>> = BTreeMap::new();
    for report in recent.between(step.of(from), step.of(until).after(step.length())) {
        steps
            .entry(step.of(report.send_at))
            .or_default()
            .push(report);
    }
    let counts = steps.into_iter();
    counts
        .map(|(begins, reports)| {
            let reached = Reached::all(reports.iter().copied());
            RateCount {
                begins: begins.to_string(),
                publishes: reports.len() as u64,
                accepted: reached.accepted,
                delivered: reached.delivered,
                opened: reached.opened,
                acknowledgement_rate: reached.acknowledged().rate(),
                open_rate: reached.opened().rate(),
            }
        })
        .collect()
}

/// What was reported from the step that `from` is in up to the one that `until` is in, both told of.
pub async fn events(
    admin: &Admin,
    instance: InstanceId,
    from: Timestamp,
    until: Timestamp,
    step: Step,
) -> Result<Vec<EventCount>, AdminError> {
    let refused = |message: &str| AdminError::Field {
        field: "from",
        message: message.to_owned(),
    };
    if from > until {
        return Err(refused("must not be after until"));
    }
    if until.since(from) > step.span_max() {
        return Err(refused(
            "is too long before until: 14 days by hour, 400 by day",
        ));
    }
    admin.record(instance).await?;
    let (first, last) = (step.of(from), step.of(until));
    Ok(match step {
        Step::Hour => {
            let end = last.after(HOUR);
            let hours = admin.store().event_hours(instance, first, end).await?;
            let hours = hours.iter();
            summed(hours.map(|hour| (hour.hour, hour.platform, hour.kind, hour.count)))
        }
        Step::Day => {
            let (first, last) = (Day::of(first), Day::of(last));
            let days = admin.store().event_days(instance, first, last).await?;
            let days = days.iter();
            summed(days.map(|day| (day.day.begins(), day.platform, day.kind, day.count)))
        }
    })
}

fn summed(counted: impl Iterator<Item = (Timestamp, Platform, EventKind, u64)>) -> Vec<EventCount> {
    let mut steps: BTreeMap<(Timestamp, &'static str), (u64, u64)> = BTreeMap::new();
    for (begins, platform, kind, count) in counted {
        let (delivered, opened) = steps.entry((begins, platform.as_str())).or_default();
        match kind {
            EventKind::Delivery => *delivered += count,
            EventKind::Open => *opened += count,
        }
    }
    let counts = steps.into_iter();
    counts
        .map(|((begins, platform), (delivered, opened))| EventCount {
            begins: begins.to_string(),
            platform,
            delivered,
            opened,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_comes_by_step_and_platform() {
        let at = |hours: i64| Timestamp::from_secs(hours * 3600);
        use EventKind::{Delivery, Open};
        let counted = [
            (at(0), Platform::Fcm, Delivery, 5),
            (at(0), Platform::Fcm, Open, 1),
            (at(0), Platform::Web, Delivery, 9),
            (at(24), Platform::Fcm, Delivery, 4),
        ];
        let told = summed(counted.into_iter());
        let told: Vec<_> = told
            .iter()
            .map(|count| {
                (
                    &count.begins[..13],
                    count.platform,
                    count.delivered,
                    count.opened,
                )
            })
            .collect();
        let expected = [
            ("1970-01-01T00", "fcm", 5, 1),
            ("1970-01-01T00", "web", 9, 0),
            ("1970-01-02T00", "fcm", 4, 0),
        ];
        assert_eq!(told, expected);
    }
}
