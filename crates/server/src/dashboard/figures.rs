//! What a publish's tallies come to: the numbers that pages show, summed in one place so that all pages agree.

use std::collections::BTreeMap;

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use store::lookup::PublishReport;

/// The ends of deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// A gateway took it.
    pub(super) accepted: u64,
    /// The gateway token was dead, and the device is forgotten.
    pub(super) dead: u64,
    /// Everything else: rejected, expired, credential broken.
    pub(super) failed: u64,
}

impl Ends {
    /// All of them.
    pub(super) fn of(report: &PublishReport) -> Self {
        Self::on(report, None)
    }

    /// Those on one platform, or on all.
    pub(super) fn on(report: &PublishReport, platform: Option<Platform>) -> Self {
        let mut ends = Self::default();
        let counted = report.tallies.iter();
        for tally in
            counted.filter(|tally| platform.is_none_or(|platform| tally.platform == platform))
        {
            match tally.outcome {
                OutcomeKind::Accepted => ends.accepted += tally.count,
                OutcomeKind::TokenDead => ends.dead += tally.count,
                _ => ends.failed += tally.count,
            }
        }
        ends
    }

    /// These and others.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            dead: self.dead + other.dead,
            failed: self.failed + other.failed,
        }
    }

    /// How many there were.
    pub(super) fn all(self) -> u64 {
        self.accepted + self.dead + self.failed
    }
}

/// Failures of some publishes by platform, end and reason, the most frequent first.
pub(super) fn failures<'a>(
    reports: impl IntoIterator<Item = &'a PublishReport>,
) -> Vec<(Platform, OutcomeKind, String, u64)> {
    let mut counts: BTreeMap<(&'static str, &'static str, String), (Platform, OutcomeKind, u64)> =
        BTreeMap::new();
    for tally in reports.into_iter().flat_map(|report| &report.tallies) {
        if tally.outcome != OutcomeKind::Accepted {
            let key = (
                tally.platform.as_str(),
                tally.outcome.as_str(),
                tally.reason.clone().into_owned(),
            );
            let kinds = (tally.platform, tally.outcome, 0);
            counts.entry(key).or_insert(kinds).2 += tally.count;
        }
    }
    let mut rows: Vec<_> = counts
        .into_iter()
        .map(|((_, _, reason), (platform, outcome, count))| (platform, outcome, reason, count))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.3));
    rows
}

/// An end in words.
pub(super) fn in_words(outcome: &str) -> &str {
    match outcome {
        "accepted" => "accepted",
        "token_dead" => "device gone",
        "rejected" => "rejected",
        "credential_broken" => "credential refused",
        "expired" => "expired",
        "retry" => "to be tried again",
        other => other,
    }
}
