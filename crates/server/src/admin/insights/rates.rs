//! Acknowledgement rate and open rate, as Beams defines them. Every page and the admin API take them from here.
//!
//! | rate | numerator | denominator |
//! |---|---|---|
//! | acknowledgement | deliveries that devices reported to have got | deliveries that gateways took: what was sent |
//! | open | deliveries whose notification was opened | deliveries that devices reported to have got |
//!
//! Each report counts once for a device and a publish. What a platform cannot report is missing from the numerators and lowers
//! the rates; nothing is estimated:
//!
//! - **iOS and macOS** report a delivery only where the app runs: in the foreground, or in the background if the payload has
//!   `content-available` and the system lets it. An app that was killed, and one that does not hand notifications to the SDK, reports
//!   none. An open is reported although the delivery was not, so an open rate may be above 1.
//! - **Android** reports both where Google's services hand the message to the app: not while the app is force-stopped, and no open of a
//!   notification that the app itself showed in the foreground.
//! - **Web** reports both from the service worker, but for browsers that are gone before the report is through.
//!
//! A publish that no gateway took anything of has no rate, which is not a rate of 0.

use domain::outcome::OutcomeKind;
use store::lookup::PublishReport;

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The numerator.
    pub part: u64,
    /// The denominator.
    pub whole: u64,
}

impl Share {
    /// The part over the whole; `None` of nothing.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rate(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

/// How far some publishes came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Deliveries that a gateway took.
    pub accepted: u64,
    /// Deliveries that devices reported to have got.
    pub delivered: u64,
    /// Deliveries whose notification was opened.
    pub opened: u64,
}

impl Reached {
    /// How far one publish came.
    pub fn of(report: &PublishReport) -> Self {
        let taken = report.tallies.iter();
        let taken = taken.filter(|tally| tally.outcome == OutcomeKind::Accepted);
        Self {
            accepted: taken.map(|tally| tally.count).sum(),
            delivered: report.delivered,
            opened: report.opened,
        }
    }

    /// How far some publishes came together.
    pub fn all<'a>(reports: impl IntoIterator<Item = &'a PublishReport>) -> Self {
        let reached = reports.into_iter().map(Self::of);
        reached.fold(Self::default(), |sum, one| Self {
            accepted: sum.accepted + one.accepted,
            delivered: sum.delivered + one.delivered,
            opened: sum.opened + one.opened,
        })
    }

    /// What devices got, of what gateways took.
    pub const fn acknowledged(self) -> Share {
        Share {
            part: self.delivered,
            whole: self.accepted,
        }
    }

    /// What was opened, of what devices got.
    pub const fn opened(self) -> Share {
        Share {
            part: self.opened,
            whole: self.delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_what_was_sent_and_of_what_arrived() {
        let reached = Reached {
            accepted: 200,
            delivered: 100,
            opened: 25,
        };
        assert_eq!(reached.acknowledged().rate(), Some(0.5));
        assert_eq!(reached.opened().rate(), Some(0.25));
        // Nothing sent is no rate, and more opens than deliveries are told as they are.
        assert_eq!(Reached::default().acknowledged().rate(), None);
        let unacknowledged = Reached {
            delivered: 1,
            opened: 2,
            ..reached
        };
        assert_eq!(unacknowledged.opened().rate(), Some(2.0));
    }
}
