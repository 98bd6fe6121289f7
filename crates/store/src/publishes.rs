//! What a store keeps of a publish and of its work. What it tells of one afterwards is in [`crate::lookup`].

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::{ApnsEnvironment, DeviceId, DeviceOrdinal, GatewayToken, Platform, Recipient};
use domain::idempotency::Idempotency;
use domain::instance::InstanceId;
use domain::outcome::{OutcomeKind, Reason};
use domain::publish::{Audience, Publish, PublishId};
use domain::user::{UserId, UserOrdinal};
use uuid::Uuid;

use crate::webhooks::PublishWebhook;

/// How far ahead a lease may end, or a retry be due: what goes beyond was written by a clock that was wrong by hours and has been
/// set back since, and is taken up at once. Longer than any lease and any wait that can be configured.
pub const AHEAD_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// A node's claim on work, until it ends or is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The node: random at each start, so that a restarted node is another one.
    pub owner: Uuid,
    /// When others may take the work over.
    pub until: Timestamp,
}

/// Counts up with every claim of a piece of work. A settlement with an old one is refused: somebody else has the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// The number of a job within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub i64);

/// The number of a retry within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RetryId(pub i64);

/// A request's key, and how long one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The key and what it stands for.
    pub idempotency: Idempotency,
    /// A key that was first used before this counts as never used.
    pub since: Timestamp,
}

/// A publish to be accepted. It is scheduled if it is to be sent later than it is accepted.
#[derive(Debug, Clone)]
pub struct NewPublish {
    /// The publish; its payloads are kept as JSON.
    pub publish: Arc<Publish>,
    /// Whom it is for.
    pub audience: Audience,
    /// The key of the request, where it has one.
    pub once: Option<Once>,
    /// The webhook of its own that it brings along.
    pub webhook: Option<PublishWebhook>,
}

/// What became of a publish to be accepted.
#[derive(Debug)]
pub enum Accepted {
    /// It is written. The jobs that were leased to the caller.
    New(Vec<Job>),
    /// The request repeats an earlier one, which made this publish. Nothing was written.
    Repeated(PublishId),
    /// The request's key was used for another request. Nothing was written.
    KeyReused,
}

impl Accepted {
    /// The jobs of a new publish; none of any other.
    pub fn into_jobs(self) -> Vec<Job> {
        match self {
            Self::New(jobs) => jobs,
            Self::Repeated(_) | Self::KeyReused => Vec::new(),
        }
    }
}

/// How a new publish is cut into jobs, and who begins.
///
/// Jobs lie side by side, from the first device of the audience to the last one it has when the publish is accepted. An
/// audience of few devices (as many as a job spans, or a smaller number of the store's choice) is one job, however far
/// apart they are, so that a publish to a user is not cut up.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many device ordinals a job spans at most.
    pub job_span: i64,
    /// How many jobs at most; spans grow beyond `job_span` if need be.
    pub jobs_max: usize,
    /// The accepting node's lease on all the jobs, so that it can start without another transaction; `None` leaves them
    /// to whoever claims first.
    pub lease: Option<Lease>,
    /// How many devices a page may have that comes along with its job; 0 is none. See [`Job::first_page`].
    pub first_page_max: usize,
}

impl Plan {
    /// Cuts what lies behind `before` up to `last` into ranges of a span each, longer where they would be too many.
    pub(crate) fn cut(self, before: i64, last: i64) -> Vec<(i64, i64)> {
        let width = last - before;
        let jobs_max = i64::try_from(self.jobs_max.max(1)).unwrap_or(i64::MAX);
        let span = self.job_span.max(1);
        let span = span.max(width / jobs_max + i64::from(width % jobs_max != 0));
        let mut ranges = Vec::new();
        let mut cursor = before;
        while cursor < last {
            let end = cursor.saturating_add(span).min(last);
            ranges.push((cursor, end));
            cursor = end;
        }
        ranges
    }
}

/// A shard of a publish's fan-out, claimed.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The publish.
    pub publish: Arc<Publish>,
    /// The devices up to this one are done.
    pub cursor: DeviceOrdinal,
    /// The last device of the shard.
    pub end: DeviceOrdinal,
    /// Proof of the claim.
    pub fence: Fence,
    /// The audience in the store's own numbers, ascending: of interests or of users that existed when the publish was
    /// accepted.
    pub audience: Arc<ResolvedAudience>,
    /// The job's only page, where the store came by it when it accepted the publish and it is no longer than
    /// [`Plan::first_page_max`]: what [`Store::audience_page`](crate::Store::audience_page) would have told then. A store may
    /// leave it out.
    pub first_page: Option<Page>,
}

/// An audience in a store's own numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedAudience {
    /// Numbers of interests.
    Interests(Vec<i64>),
    /// Numbers of users.
    Users(Vec<i64>),
    /// The number of a publish: the devices that it failed for.
    FailuresOf(i64),
    /// The number of a list of users. Its jobs count places in the list, not devices.
    Listed(i64),
}

/// Devices read at once, ascending by ordinal, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The devices of platforms that the publish has a payload for.
    pub recipients: Vec<Recipient>,
    /// Up to which device the audience has been read; to be settled as the job's cursor.
    pub cursor: DeviceOrdinal,
    /// Whether this was the last page of the job.
    pub last: bool,
}

/// A delivery that waits for another attempt, claimed.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Its number.
    pub id: RetryId,
    /// The device as it is now.
    pub recipient: Recipient,
    /// How many attempts there were.
    pub attempts: u32,
    /// Proof of the claim.
    pub fence: Fence,
}

/// Retries of one publish, claimed together.
#[derive(Debug, Clone)]
pub struct RetryBatch {
    /// The publish.
    pub publish: Arc<Publish>,
    /// At least one.
    pub retries: Vec<Retry>,
}

/// A delivery to be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRetry {
    /// The device.
    pub device: DeviceOrdinal,
    /// How many attempts there were.
    pub attempts: u32,
    /// When to try again.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub reason: Reason,
    /// As the recipient has it.
    pub user: Option<UserOrdinal>,
}

/// A device whose gateway token a gateway declared dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadDevice {
    /// The device.
    pub device: DeviceOrdinal,
    /// The token that was tried: the device is removed only if it still has this one.
    pub token: GatewayToken,
    /// Since when the token is dead, where the gateway tells: the device is removed only if it registered before.
    pub since: Option<Timestamp>,
}

/// How many deliveries of a publish had the same end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Through which gateway.
    pub platform: Platform,
    /// Which end. [`OutcomeKind::Retry`] is no end and never tallied.
    pub outcome: OutcomeKind,
    /// Why; empty for accepted ones.
    pub reason: Reason,
    /// How many.
    pub count: u64,
}

/// A delivery that ended as rejected, expired, or with a broken credential: kept to be seen and replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The device.
    pub device: DeviceOrdinal,
    /// Which end.
    pub outcome: OutcomeKind,
    /// Why.
    pub reason: Reason,
}

/// How many deliveries to one user's devices had their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserTally {
    /// The user.
    pub user: UserOrdinal,
    /// Those that a gateway took.
    pub accepted: u64,
    /// The others.
    pub failed: u64,
}

/// What became of a page, or of a batch of retries: all that one transaction has to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Ends to be counted.
    pub tallies: Vec<Tally>,
    /// Devices to be removed.
    pub dead: Vec<DeadDevice>,
    /// Deliveries to be tried again.
    pub retries: Vec<NewRetry>,
    /// Which of Apple's gateways answered for a device, where it is news.
    pub environments: Vec<(DeviceOrdinal, ApnsEnvironment)>,
    /// The ends once more for each user, where the publish is to users.
    pub users: Vec<UserTally>,
    /// What cannot be delivered as it is.
    pub failures: Vec<Failure>,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// It is written.
    Done,
    /// Nothing was written: another node has the work now, or the publish was cancelled.
    LeaseLost,
}

/// What a device tells of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The device got it.
    Delivery,
    /// Its user opened it.
    Open,
}

impl EventKind {
    /// The word used in SQL, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Open => "open",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Delivery, Self::Open]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// A report of a device on a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The instance of both.
    pub instance: InstanceId,
    /// Which publish.
    pub publish: PublishId,
    /// Which device.
    pub device: DeviceId,
    /// What happened.
    pub kind: EventKind,
    /// When, by the device's own clock.
    pub at: Timestamp,
    /// When the server got the report.
    pub received: Timestamp,
    /// Whom the device says it belongs to. Counts for nothing; webhooks are told where it is true.
    pub user: Option<UserId>,
}

/// What became of a reported event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Counted.
    New,
    /// The device had reported it before; counted once.
    Repeated,
    /// The instance has no such publish or device, or what was reported of the publish is not kept any more; not counted.
    Unknown,
}

/// How much work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Unfinished jobs.
    pub jobs: u64,
    /// Deliveries that wait for another attempt.
    pub retries: u64,
    /// How long the publish of the oldest unfinished job has been on its way: since it was accepted, or was to be sent.
    pub oldest_job: Duration,
}
