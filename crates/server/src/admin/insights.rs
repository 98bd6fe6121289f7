//! What devices reported over time, by the hour or by the day.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use serde::Serialize;
use store::insights::{EventHour, HOUR, hour_of};
use store::publishes::EventKind;
use utoipa::ToSchema;

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
    const fn length(self) -> Duration {
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
    let end = step.of(until).after(step.length());
    let begin = hour_of(step.of(from));
    let hours = admin.store().event_hours(instance, begin, end).await?;
    Ok(summed(&hours, step))
}

fn summed(hours: &[EventHour], step: Step) -> Vec<EventCount> {
    let mut steps: BTreeMap<(Timestamp, &'static str), (u64, u64)> = BTreeMap::new();
    for hour in hours {
        let of_step = steps.entry((step.of(hour.hour), hour.platform.as_str()));
        let (delivered, opened) = of_step.or_default();
        match hour.kind {
            EventKind::Delivery => *delivered += hour.count,
            EventKind::Open => *opened += hour.count,
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
    use domain::device::Platform;

    use super::*;

    #[test]
    fn hours_add_up_to_days_by_platform() {
        let at = |hour: i64, platform, kind, count| EventHour {
            hour: Timestamp::from_secs(hour * 3600),
            platform,
            kind,
            count,
        };
        use EventKind::{Delivery, Open};
        let hours = [
            at(0, Platform::Fcm, Delivery, 5),
            at(23, Platform::Fcm, Delivery, 2),
            at(23, Platform::Fcm, Open, 1),
            at(23, Platform::Web, Delivery, 9),
            at(24, Platform::Fcm, Delivery, 4),
        ];
        let told = |step| -> Vec<_> {
            let counts = summed(&hours, step).into_iter();
            counts
                .map(|count| {
                    (
                        count.begins[..13].to_owned(),
                        count.platform,
                        count.delivered,
                        count.opened,
                    )
                })
                .collect()
        };
        let day = |begins: &str, platform, delivered, opened| {
            (format!("1970-01-0{begins}"), platform, delivered, opened)
        };
        let by_day = [
            day("1T00", "fcm", 7, 1),
            day("1T00", "web", 9, 0),
            day("2T00", "fcm", 4, 0),
        ];
        assert_eq!(told(Step::Day), by_day);
        assert_eq!(told(Step::Hour).len(), 4);
        assert_eq!(told(Step::Hour)[1], day("1T23", "fcm", 2, 1));
    }
}
