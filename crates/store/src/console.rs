//! The trail: what happens in an instance, one line after the other, while somebody watches.
//!
//! It is for looking on, not for accounts: it is written only while an instance is watched, thinned out where there is more
//! than anybody reads, and forgotten within hours. So it costs nothing while nobody looks. It is kept here, not in a node's
//! memory, because the node that somebody looks through is seldom the one on which things happen.

use std::fmt;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::PublishId;
use domain::user::UserId;

use crate::StoreError;

/// How many traces an instance keeps; the oldest go.
pub const TRAIL_LENGTH_MAX: usize = 5000;

/// What a trace tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceKind {
    /// A device registered, newly or again.
    Registered,
    /// A device was deleted, by itself or by a gateway's word.
    Removed,
    /// A device was bound to a user.
    Bound,
    /// A device was taken from its user, and stays.
    Unbound,
    /// A device's interests changed.
    Subscribed,
    /// A publish was accepted.
    Published,
    /// A publish was called off.
    Cancelled,
    /// A gateway took a delivery.
    Accepted,
    /// An attempt failed and is repeated.
    Retried,
    /// A delivery had an end that is no acceptance.
    Failed,
    /// A device reported a delivery.
    Delivered,
    /// A device reported an open.
    Opened,
    /// More happened than is told.
    Skipped,
}

impl TraceKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Registered,
        Self::Removed,
        Self::Bound,
        Self::Unbound,
        Self::Subscribed,
        Self::Published,
        Self::Cancelled,
        Self::Accepted,
        Self::Retried,
        Self::Failed,
        Self::Delivered,
        Self::Opened,
        Self::Skipped,
    ];

    /// The word used in SQL, JSON and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Removed => "removed",
            Self::Bound => "bound",
            Self::Unbound => "unbound",
            Self::Subscribed => "subscribed",
            Self::Published => "published",
            Self::Cancelled => "cancelled",
            Self::Accepted => "accepted",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Skipped => "skipped",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One line of the trail. Never has a secret: no gateway token, no Beams token, no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: TraceKind,
    /// Of which device.
    pub device: Option<DeviceId>,
    /// Of which user.
    pub user: Option<UserId>,
    /// Of which publish.
    pub publish: Option<PublishId>,
    /// Of which interests; the first few where there are many.
    pub interests: Vec<InterestName>,
    /// What else there is to say, in our words; a payload where the instance shows them.
    pub detail: String,
}

impl Trace {
    /// A line that says only what happened and when.
    pub const fn new(at: Timestamp, kind: TraceKind) -> Self {
        Self {
            at,
            kind,
            device: None,
            user: None,
            publish: None,
            interests: Vec::new(),
            detail: String::new(),
        }
    }
}

/// The place of a trace in its trail. Grows; what is read behind one is never written before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceNumber(pub i64);

/// An instance that somebody watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Which.
    pub instance: InstanceId,
    /// Whether its trail shows payloads.
    pub shows_payloads: bool,
}

/// Whom a delivery goes to, by the names that people know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The device's number.
    pub ordinal: DeviceOrdinal,
    /// The device.
    pub device: DeviceId,
    /// Its user.
    pub user: Option<UserId>,
}

/// What a store keeps of trails. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait Console: Send + Sync + fmt::Debug {
    /// Writes down that somebody watches an instance until `until`, or longer if that was written already.
    /// [`StoreError::UnknownInstance`] if there is no such instance.
    async fn watch_trail(&self, instance: InstanceId, until: Timestamp) -> Result<(), StoreError>;

    /// The instances that somebody watches at `now`.
    async fn watched_trails(&self, now: Timestamp) -> Result<Vec<Watched>, StoreError>;

    /// Sets whether an instance's trail shows payloads. [`StoreError::UnknownInstance`] if there is no such instance.
    async fn show_payloads(&self, instance: InstanceId, shows: bool) -> Result<(), StoreError>;

    /// Whether an instance's trail shows payloads: not unless that was set.
    async fn shows_payloads(&self, instance: InstanceId) -> Result<bool, StoreError>;

    /// Appends to an instance's trail, in order, and forgets what is beyond [`TRAIL_LENGTH_MAX`]. Nothing happens if there is no
    /// such instance.
    async fn append_trail(
        &self,
        instance: InstanceId,
        traces: Vec<Trace>,
    ) -> Result<(), StoreError>;

    /// What is in an instance's trail behind `after`, or else the newest of it; ascending, at most `limit`.
    async fn trail(
        &self,
        instance: InstanceId,
        after: Option<TraceNumber>,
        limit: usize,
    ) -> Result<Vec<(TraceNumber, Trace)>, StoreError>;

    /// Whom some devices of an instance are known as. Those that are gone are left out.
    async fn addressees(
        &self,
        instance: InstanceId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<Addressee>, StoreError>;

    /// Deletes up to `limit` traces from before `before`. How many it deleted.
    async fn prune_trails(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}
