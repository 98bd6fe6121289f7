//! The latest publishes by day or by hour, as charts show them.

use domain::clock::Timestamp;
use maud::{Markup, html};
use store::lookup::PublishReport;

use super::components::{number, time};
use super::error::PageError;
use super::room::Room;
use super::sift::Sift;
use crate::admin::insights::Step;
use crate::admin::insights::recent::{self, LATEST, Recent};
use crate::http::Api;

/// How many days, or hours, the charts have.
const DAYS: u32 = 30;
const HOURS: u32 = 48;

/// A day or an hour, in UTC, with the publishes that were sent in it.
pub(super) struct Bucket<'a> {
    /// As `2026-11-23`, or as `11-23 14:00`.
    pub(super) label: String,
    /// Its publishes.
    pub(super) reports: Vec<&'a PublishReport>,
    /// What they are in the list of publishes.
    pub(super) sift: Sift,
}

/// The latest publishes of an instance, the newest first.
pub(super) async fn publishes(api: &Api, room: &Room) -> Result<Recent, PageError> {
    Ok(recent::publishes(api.admin(), room.id()).await?)
}

/// When the chart of the last days, or hours, begins.
pub(super) fn begins(now: Timestamp, step: Step) -> Timestamp {
    let count = match step {
        Step::Day => DAYS,
        Step::Hour => HOURS,
    };
    step.of(now).before(step.length() * (count - 1))
}

/// What is said where there are publishes since `from` that were not looked at.
pub(super) fn cut(recent: &Recent, from: Timestamp) -> Markup {
    let oldest = recent.reports.last().filter(|_| recent.is_cut);
    let oldest = oldest.filter(|oldest| oldest.accepted_at >= from);
    html! {
        @if let Some(oldest) = oldest {
            p.soft.small { "Made of the latest " (number(LATEST as u64)) " publishes, back to " (time(oldest.accepted_at)) "; so are the rows behind each number. Older ones are not looked at." }
        }
    }
}

/// The last days, or hours, up to `now`, each with its publishes.
pub(super) fn buckets(recent: &Recent, now: Timestamp, step: Step) -> Vec<Bucket<'_>> {
    let mut buckets = Vec::new();
    let mut from = begins(now, step);
    while from <= now {
        let until = from.after(step.length());
        let text = from.to_string();
        buckets.push(Bucket {
            label: match step {
                Step::Day => text.chars().take(10).collect(),
                Step::Hour => text[5..16].replace('T', " "),
            },
            reports: recent.between(from, until).collect(),
            sift: Sift::since(from).before(until),
        });
        from = until;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_days_and_hours_end_with_the_present_one() {
        let now = Timestamp::parse_rfc3339("2026-11-23T08:59:00Z").unwrap();
        let recent = Recent::default();
        let days = buckets(&recent, now, Step::Day);
        assert_eq!((days.len(), &*days[0].label), (30, "2026-10-25"));
        assert_eq!(days[29].label, "2026-11-23");
        let hours = buckets(&recent, now, Step::Hour);
        assert_eq!((hours.len(), &*hours[47].label), (48, "11-23 08:00"));
        assert_eq!(hours[0].label, "11-21 09:00");
    }
}
