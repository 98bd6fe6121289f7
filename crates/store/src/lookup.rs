//! What a store tells of publishes afterwards: where each is, what became of it and of whom, and what can be sent again.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Platform};
use domain::outcome::{OutcomeKind, Reason};
use domain::publish::{AudienceKind, PublishId};
use domain::trace::TraceParent;
use domain::user::UserId;

use crate::publishes::{Job, Tally};

/// Where a publish is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishState {
    /// It waits for its time.
    Scheduled,
    /// There is work left.
    Running,
    /// The last of its deliveries had its end.
    Finished,
    /// What had not been sent was called off.
    Cancelled,
}

impl PublishState {
    /// Every state.
    pub const ALL: [Self; 4] = [
        Self::Scheduled,
        Self::Running,
        Self::Finished,
        Self::Cancelled,
    ];

    /// The word used in SQL, JSON and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Whom a publish was for, once it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// As many interests or users as were named, whether anybody is behind them or not.
    Named(AudienceKind, u64),
    /// The devices that an earlier publish failed for.
    FailuresOf(PublishId),
}

/// What is known of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishReport {
    /// The publish.
    pub id: PublishId,
    /// Where it is.
    pub state: PublishState,
    /// Whom it is for.
    pub target: Target,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is sent: when it was accepted, or later if asked.
    pub send_at: Timestamp,
    /// After when nothing of it is sent any more, where asked.
    pub expires_at: Option<Timestamp>,
    /// When the last of its deliveries had its end, or it was cancelled; `None` while there is work left.
    pub finished_at: Option<Timestamp>,
    /// The ends so far.
    pub tallies: Vec<Tally>,
    /// Deliveries that wait for another attempt.
    pub retries: u64,
    /// Devices that reported to have got it.
    pub delivered: u64,
    /// Devices that reported that it was opened.
    pub opened: u64,
}

/// Where a list of publishes goes on: behind this one, among those accepted before it. Stays right while publishes come
/// and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishCursor(pub i64);

/// Some publishes of an instance, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishPage {
    /// The publishes.
    pub publishes: Vec<PublishReport>,
    /// Where to go on; `None` at the end.
    pub next: Option<PublishCursor>,
}

/// A delivery that ended without the gateway having taken it, and might be taken another time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The device.
    pub device: DeviceId,
    /// Its number, where a list goes on.
    pub ordinal: DeviceOrdinal,
    /// Whose device it was then.
    pub user: Option<UserId>,
    /// Its end: rejected, credential broken, or expired.
    pub outcome: OutcomeKind,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// A delivery that waits for another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The device.
    pub device: DeviceId,
    /// Its number, where a list goes on.
    pub ordinal: DeviceOrdinal,
    /// Its user now.
    pub user: Option<UserId>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the next one is due.
    pub due_at: Timestamp,
    /// Why the last one failed.
    pub reason: Reason,
}

/// What became of a publish for one of the users it named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserOutcome {
    /// The user.
    pub user: UserId,
    /// Deliveries to devices of the user that a gateway took.
    pub accepted: u64,
    /// Deliveries to devices of the user that had another end.
    pub failed: u64,
}

/// What became of a call to cancel a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled, now or before.
    Done,
    /// It had finished.
    Finished,
    /// There is no such publish.
    Unknown,
}

/// The publish that a replay makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// Its id.
    pub id: PublishId,
    /// Where what is done for it belongs in a trace, if that is recorded.
    pub trace: Option<TraceParent>,
}

impl Fresh {
    /// One whose trace is not recorded.
    pub const fn untraced(id: PublishId) -> Self {
        Self { id, trace: None }
    }
}

/// What became of a request to send a publish again to the devices it failed for.
#[derive(Debug)]
pub enum Replayed {
    /// A new publish. Its jobs, as with an accepted one.
    Accepted(Vec<Job>),
    /// The request repeats an earlier one, which made this publish.
    Repeated(PublishId),
    /// The request's key was used for another request.
    KeyReused,
    /// The publish has work left; its failures are not all known.
    Unfinished,
    /// The publish was not to be sent any more after a time that is past, or what it carried is not kept any more.
    Expired,
    /// There is no such publish.
    Unknown,
}

/// How many devices an audience has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AudienceCount {
    /// Devices, each once.
    devices: [u64; Platform::ALL.len()],
    /// Of an audience of users: those with a device of a platform that was asked for.
    pub users: u64,
}

impl AudienceCount {
    /// The devices of a platform.
    pub const fn devices(&self, platform: Platform) -> u64 {
        self.devices[platform as usize]
    }

    /// Counts more devices of a platform.
    pub const fn add(&mut self, platform: Platform, more: u64) {
        self.devices[platform as usize] += more;
    }
}
