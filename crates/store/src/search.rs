//! Searching through publishes: by state, by when they were accepted, by whom they name, by what they are titled.
//!
//! Whom a publish names and what it carries stand in no index, which every publish would have to pay for. A search goes through
//! publishes from the newest on, a bounded number at each call, and says where it goes on; where it begins is found by steps that
//! halve what is left.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::payload::Payloads;
use domain::publish::PublishId;
use domain::user::UserId;

use crate::StoreError;
use crate::lookup::{PublishCursor, PublishReport, PublishState, Waiting};

/// By how much the clocks of nodes may differ so that no publish is missed at the edges of a time: publishes are numbered as they
/// come, and this far apart their times are in that order.
pub(crate) const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// Which publishes are wanted. What is not set lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedPublishes {
    /// Those in a state.
    pub state: Option<PublishState>,
    /// Those accepted at or after a point in time.
    pub from: Option<Timestamp>,
    /// Those accepted before a point in time.
    pub until: Option<Timestamp>,
    /// Those that name an interest, whether anybody is subscribed to it or not.
    pub interest: Option<InterestName>,
    /// Those that name a user, as long as it is kept whom they name.
    pub user: Option<UserId>,
    /// Those with this somewhere in a title (see [`Payloads::titles`]), in small letters or capital ones, as long as it is
    /// kept what they carry.
    pub title: Option<String>,
}

impl WantedPublishes {
    /// Whether a publish of this time is wanted.
    pub(crate) fn has_time(&self, accepted_at: Timestamp) -> bool {
        self.from.is_none_or(|from| accepted_at >= from)
            && self.until.is_none_or(|until| accepted_at < until)
    }

    /// Whether no publish behind one of this time can be wanted.
    pub(crate) fn is_behind(&self, accepted_at: Timestamp) -> bool {
        self.from
            .is_some_and(|from| accepted_at < from.before(CLOCKS_APART))
    }

    /// Whether a publish with these titles is wanted.
    pub(crate) fn has_title(&self, titles: &[String]) -> bool {
        let Some(wanted) = &self.title else {
            return true;
        };
        let wanted = wanted.to_lowercase();
        titles
            .iter()
            .any(|title| title.to_lowercase().contains(&wanted))
    }

    /// Whether a publish is wanted, by what is kept of it.
    pub(crate) fn judge(&self, kept: &Kept<'_>) -> Result<Verdict, StoreError> {
        if self.is_behind(kept.accepted_at) {
            return Ok(Verdict::Behind);
        }
        if !self.has_time(kept.accepted_at) || !kept.names_them {
            return Ok(Verdict::Unwanted);
        }
        let titles = titles(kept.payloads.unwrap_or_default());
        if !self.has_title(&titles) {
            return Ok(Verdict::Unwanted);
        }
        Ok(Verdict::Wanted(PublishLabel {
            title: titles.into_iter().next(),
            interests: interests(kept.interests)?,
        }))
    }

    /// The interest and the user as they stand in the JSON of a publish, so that it is looked for without being read.
    pub(crate) fn quoted(&self) -> (Option<String>, Option<String>) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        (
            self.interest.as_ref().map(|name| quoted(name.as_str())),
            self.user.as_ref().map(|user| quoted(user.as_str())),
        )
    }
}

/// How far one call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// How many publishes it looks at, at most.
    pub depth: usize,
    /// How many it finds, at most.
    pub limit: usize,
}

/// A publish that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPublish {
    /// What is known of it.
    pub report: PublishReport,
    /// What people know it by.
    pub label: PublishLabel,
}

/// What people know a publish by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishLabel {
    /// The first of its titles; `None` without one, or once what it carried is not kept any more.
    pub title: Option<String>,
    /// The interests that it names; none of a publish that was accepted by a node that did not keep them yet.
    pub interests: Vec<InterestName>,
}

impl PublishLabel {
    /// That of a publish whose payloads and interests are kept so.
    pub(crate) fn of(payloads: &str, interests: Option<&str>) -> Result<Self, StoreError> {
        Ok(Self {
            title: titles(payloads).into_iter().next(),
            interests: self::interests(interests)?,
        })
    }
}

/// What one call found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundPublishes {
    /// The newest first.
    pub publishes: Vec<FoundPublish>,
    /// Where to go on, even where this call found nothing; `None` at the end.
    pub next: Option<PublishCursor>,
    /// When the oldest that was looked at was accepted.
    pub back_to: Option<Timestamp>,
}

/// What is read of a publish to see whether it is wanted.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) accepted_at: Timestamp,
    /// Whether it names the interest and the user that are wanted.
    pub(crate) names_them: bool,
    pub(crate) interests: Option<&'a str>,
    pub(crate) payloads: Option<&'a str>,
}

/// Whether a publish is wanted.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Neither it nor any that is older.
    Behind,
    Unwanted,
    Wanted(PublishLabel),
}

/// The search for the number from which on all publishes of an instance were accepted at or after a point in time. Each step halves
/// what is left.
#[derive(Debug)]
pub(crate) struct FirstSince {
    since: Timestamp,
    low: i64,
    high: i64,
}

impl FirstSince {
    /// Among the publishes up to the newest.
    pub(crate) fn new(since: Timestamp, newest: Option<i64>) -> Self {
        let high = newest.map_or(0, |newest| newest + 1);
        Self {
            since,
            low: 0,
            high,
        }
    }

    /// From which number on to look for the next publish; `None` at the end.
    pub(crate) fn middle(&self) -> Option<i64> {
        (self.low < self.high).then(|| self.low + (self.high - self.low) / 2)
    }

    /// The next publish from `middle` on, by its number and when it was accepted; `None` if there is none.
    pub(crate) fn narrow(&mut self, middle: i64, next: Option<(i64, i64)>) {
        match next {
            Some((number, at)) if at < self.since.as_millis() => self.low = number + 1,
            _ => self.high = middle,
        }
    }

    /// What was found, at the end.
    pub(crate) fn found(&self) -> i64 {
        self.high
    }
}

/// Searching. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait Searching: Send + Sync + fmt::Debug {
    /// Publishes of an instance that are wanted, behind `after`, the newest first. Looks at a bounded number of those in the wanted
    /// state and before the wanted end, so it may find none although there are some further on.
    async fn search_publishes(
        &self,
        instance: InstanceId,
        wanted: WantedPublishes,
        after: Option<PublishCursor>,
        reach: Reach,
    ) -> Result<FoundPublishes, StoreError>;

    /// What people know a publish by. `None` if there is no such publish.
    async fn publish_label(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishLabel>, StoreError>;

    /// The deliveries of a publish that wait for another attempt, ascending by the device's number, behind `after`, at most `limit`:
    /// as many as its report counts. `None` if there is no such publish.
    async fn publish_waiting(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Waiting>>, StoreError>;
}

/// The titles in what a publish carries, as it is kept.
fn titles(payloads: &str) -> Vec<String> {
    // What retention has emptied has none.
    serde_json::from_str(payloads)
        .map(|payloads: Payloads| payloads.titles())
        .unwrap_or_default()
}

/// The interests that a publish names, as they are kept.
fn interests(json: Option<&str>) -> Result<Vec<InterestName>, StoreError> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    serde_json::from_str(json)
        .map_err(|error| StoreError::Corrupt(format!("the interests of a publish: {error}")))
}
