//! Which publishes a number on a page is made of, as a query of the list of publishes: every number leads to its rows.

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::outcome::OutcomeKind;
use store::lookup::{Failed, PublishReport};
use store::publishes::EventKind;

use super::components::{platform, with_query};
use super::figures::{self, Ends};
use crate::http::extract::query_value;

/// What is counted of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Deliveries with one end.
    End(OutcomeKind),
    /// Deliveries with any end that is neither acceptance nor a dead token.
    Failed,
    /// Reports of devices.
    Reported(EventKind),
}

impl Counting {
    pub(super) const ACCEPTED: Self = Self::End(OutcomeKind::Accepted);
    pub(super) const DEAD: Self = Self::End(OutcomeKind::TokenDead);
    pub(super) const DELIVERED: Self = Self::Reported(EventKind::Delivery);
    pub(super) const OPENED: Self = Self::Reported(EventKind::Open);

    const fn word(self) -> &'static str {
        match self {
            Self::End(outcome) => outcome.as_str(),
            Self::Failed => "failed",
            Self::Reported(EventKind::Delivery) => "delivered",
            Self::Reported(EventKind::Open) => "opened",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let ends = OutcomeKind::ALL.into_iter().map(Self::End);
        let others = [Self::Failed, Self::DELIVERED, Self::OPENED];
        ends.chain(others).find(|known| known.word() == word)
    }
}

/// Publishes that were sent within a time, and what is counted of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sift {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    counting: Option<Counting>,
    platform: Option<Platform>,
    reason: Option<String>,
}

impl Sift {
    /// Those that are sent at or after a point in time.
    pub(super) fn since(from: Timestamp) -> Self {
        Self {
            from: Some(from),
            ..Self::default()
        }
    }

    /// Only those that are sent before a point in time.
    pub(super) fn before(self, until: Timestamp) -> Self {
        let until = Some(until);
        Self { until, ..self }
    }

    /// Only those of which there is something to count.
    pub(super) fn counting(self, counting: Counting) -> Self {
        let counting = Some(counting);
        Self { counting, ..self }
    }

    /// Counts only deliveries through one gateway.
    pub(super) fn on(self, platform: Platform) -> Self {
        let platform = Some(platform);
        Self { platform, ..self }
    }

    /// Counts only what ended for one reason.
    pub(super) fn because(self, reason: String) -> Self {
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        Self { reason, ..self }
    }

    /// The one that a query asks for; `None` if it asks for nothing of the kind.
    pub(super) fn parse(query: Option<&str>) -> Option<Self> {
        let value = |name| query_value(query, name);
        let time = |name| Timestamp::parse_rfc3339(&value(name)?);
        let sift = Self {
            from: time("from"),
            until: time("until"),
            counting: value("counting").and_then(|word| Counting::parse(&word)),
            platform: value("platform").and_then(|word| Platform::parse(&word)),
            reason: value("reason").filter(|reason| !reason.is_empty()),
        };
        (sift != Self::default()).then_some(sift)
    }

    /// Where the rows are, below `path`.
    pub(super) fn link(&self, path: &str) -> String {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        with_query(
            path,
            &[
                ("from", &text(self.from)),
                ("until", &text(self.until)),
                ("counting", self.counting.map_or("", Counting::word)),
                ("platform", self.platform.map_or("", Platform::as_str)),
                ("reason", self.reason.as_deref().unwrap_or_default()),
            ],
        )
    }

    /// What is counted, if anything is.
    pub(super) fn counted(&self) -> Option<Counting> {
        self.counting
    }

    /// Whether a publish is among them.
    pub(super) fn has(&self, report: &PublishReport) -> bool {
        self.from.is_none_or(|from| report.send_at >= from)
            && self.until.is_none_or(|until| report.send_at < until)
            && (self.counting.is_none() || self.count(report) > 0)
    }

    /// How much of what is counted a publish has.
    pub(super) fn count(&self, report: &PublishReport) -> u64 {
        let outcome = match self.counting {
            None => return 1,
            Some(Counting::Reported(EventKind::Delivery)) => return report.delivered,
            Some(Counting::Reported(EventKind::Open)) => return report.opened,
            Some(Counting::Failed) if self.reason.is_none() => {
                return Ends::on(report, self.platform).failed;
            }
            Some(Counting::Failed) => None,
            Some(Counting::End(outcome)) => Some(outcome),
        };
        let tallies = report.tallies.iter();
        tallies
            .filter(|tally| outcome.is_none_or(|outcome| tally.outcome == outcome))
            .filter(|tally| self.platform.is_none_or(|one| tally.platform == one))
            .filter(|tally| self.reason.as_ref().is_none_or(|one| tally.reason == *one))
            .map(|tally| tally.count)
            .sum()
    }

    /// Whether a failed delivery is among what is counted.
    pub(super) fn fits(&self, failed: &Failed) -> bool {
        let is_counted = match self.counting {
            Some(Counting::End(outcome)) => failed.outcome == outcome,
            _ => true,
        };
        is_counted
            && self
                .platform
                .is_none_or(|one| failed.device.platform() == one)
            && self.reason.as_ref().is_none_or(|one| failed.reason == *one)
    }

    /// What is counted, in words.
    pub(super) fn noun(&self) -> String {
        let mut words = match self.counting {
            None => "Publishes".to_owned(),
            Some(Counting::Reported(EventKind::Delivery)) => "Delivered".to_owned(),
            Some(Counting::Reported(EventKind::Open)) => "Opened".to_owned(),
            Some(Counting::Failed) => "Failed".to_owned(),
            Some(Counting::End(outcome)) => {
                let mut words = figures::in_words(outcome.as_str()).to_owned();
                if let Some(first) = words.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                words
            }
        };
        if let Some(one) = self.platform {
            words = format!("{words}, {}", platform(one));
        }
        if let Some(reason) = &self.reason {
            words = format!("{words}, {reason}");
        }
        words
    }

    /// When they were sent, in words.
    pub(super) fn when(&self) -> String {
        let text = |at: Timestamp| at.to_string().replace('T', " ").replace('Z', " UTC");
        match (self.from, self.until) {
            (None, None) => "Whenever they were sent".to_owned(),
            (Some(from), None) => format!("Sent since {}", text(from)),
            (None, Some(until)) => format!("Sent before {}", text(until)),
            (Some(from), Some(until)) => format!("Sent from {} to {}", text(from), text(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_asks_for_is_what_is_read() {
        let at = Timestamp::from_secs;
        let known = [
            Sift::since(at(0)),
            Sift::since(at(0))
                .before(at(60))
                .counting(Counting::DELIVERED),
            Sift::default()
                .counting(Counting::Failed)
                .on(Platform::Fcm)
                .because("a & b=<c>".to_owned()),
            Sift::default().counting(Counting::DEAD),
        ];
        for sift in known {
            let link = sift.link("/publishes");
            let (path, query) = link.split_once('?').unwrap();
            assert_eq!(path, "/publishes");
            assert_eq!(Sift::parse(Some(query)), Some(sift), "{link}");
        }
        for nothing in [
            None,
            Some(""),
            Some("status=running"),
            Some("counting=x&from=y"),
        ] {
            assert_eq!(Sift::parse(nothing), None);
        }
    }
}
