//! What publishes look like in JSON. Times are RFC 3339; a gateway token is never among it.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::publish::PublishId;
use serde::Serialize;
use store::lookup::{Failed, PublishReport, PublishState, Target, UserOutcome};
use utoipa::ToSchema;

use crate::admin::insights::rates::Reached;

/// How many failed devices are shown for each reason.
const EXAMPLES_MAX: usize = 3;

/// A publish that was accepted, now or before.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Accepted {
    /// Its id: `pubid-` and a UUID.
    pub(in crate::http) publish_id: String,
}

/// A publish that was called off.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Cancelled {
    /// Its id.
    pub(in crate::http) publish_id: String,
    /// `cancelled`.
    pub(in crate::http) state: &'static str,
}

impl Cancelled {
    /// That this one was.
    pub(in crate::http) fn of(id: PublishId) -> Self {
        Self {
            publish_id: id.to_string(),
            state: PublishState::Cancelled.as_str(),
        }
    }
}

/// A publish and what became of it so far.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Publish {
    publish_id: String,
    /// `scheduled`, `running`, `finished` or `cancelled`.
    state: &'static str,
    audience: Audience,
    #[schema(format = "date-time")]
    accepted_at: String,
    /// When it is sent: `acceptedAt` if at once.
    #[schema(format = "date-time")]
    send_at: String,
    /// After when nothing of it is sent any more.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// Null while there is work left.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    tallies: Vec<Tally>,
    /// Deliveries that wait for another attempt.
    retries_pending: u64,
    /// Devices that said that they got it.
    delivered: u64,
    /// Devices that said that it was opened.
    opened: u64,
    /// `delivered` over the deliveries that gateways accepted; null if none was.
    acknowledgement_rate: Option<f64>,
    /// `opened` over `delivered`; null if nothing was delivered.
    open_rate: Option<f64>,
}

/// Whom a publish is for.
#[derive(Debug, Serialize, ToSchema)]
struct Audience {
    /// `interests`, `users`, or `failures` of a replay.
    kind: &'static str,
    /// How many were named; not of a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// The publish that is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
}

/// How many deliveries ended in the same way.
#[derive(Debug, Serialize, ToSchema)]
struct Tally {
    /// `apns`, `fcm` or `web`.
    platform: &'static str,
    /// `accepted`, `token_dead`, `rejected`, `credential_broken` or `expired`.
    outcome: &'static str,
    /// Why; not of accepted ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    count: u64,
}

/// A publish with what failed and what became of it for users.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct PublishInFull {
    #[serde(flatten)]
    pub(in crate::http) publish: Publish,
    /// Failures by what happened, with a few devices for each.
    pub(in crate::http) failures: Vec<FailureKind>,
    /// What became of a publish to users for each of them, by id, a hundred at a time; not there of any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) users: Option<Vec<User>>,
    /// Where the users go on: `?users_cursor=…`; null at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::http) users_next_cursor: Option<Option<String>>,
}

/// What became of a publish for one user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserOutcome)]
pub(in crate::http) struct User {
    user: String,
    /// `accepted` for at least one device, `pending`, `failed`, `no_devices`, or `cancelled`.
    outcome: &'static str,
    /// Deliveries to the user's devices that a gateway took.
    accepted: u64,
    /// Those that had another end.
    failed: u64,
}

/// One way to fail, with some devices that did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct FailureKind {
    platform: &'static str,
    outcome: &'static str,
    reason: String,
    /// Up to three.
    examples: Vec<Example>,
}

/// A device that something failed for.
#[derive(Debug, Serialize, ToSchema)]
struct Example {
    device: String,
    user: Option<String>,
    #[schema(format = "date-time")]
    at: String,
}

/// One delivery that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Failure {
    device: String,
    platform: &'static str,
    /// Whose device it was then.
    user: Option<String>,
    outcome: &'static str,
    reason: String,
    #[schema(format = "date-time")]
    at: String,
}

/// Some failures of a publish.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct FailurePage {
    pub(in crate::http) failures: Vec<Failure>,
    /// Where they go on; null at the end.
    pub(in crate::http) next_cursor: Option<String>,
}

/// Some publishes, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct PublishPage {
    pub(in crate::http) publishes: Vec<Publish>,
    /// Where they go on; null at the end.
    pub(in crate::http) next_cursor: Option<String>,
}

impl Publish {
    pub(in crate::http) fn of(report: &PublishReport) -> Self {
        let text = |at: Timestamp| at.to_string();
        let tally = |tally: &store::publishes::Tally| Tally {
            platform: tally.platform.as_str(),
            outcome: tally.outcome.as_str(),
            reason: Some(tally.reason.clone().into_owned()).filter(|reason| !reason.is_empty()),
            count: tally.count,
        };
        let reached = Reached::of(report);
        Self {
            publish_id: report.id.to_string(),
            state: report.state.as_str(),
            audience: Audience::of(report.target),
            accepted_at: text(report.accepted_at),
            send_at: text(report.send_at),
            expires_at: report.expires_at.map(text),
            finished_at: report.finished_at.map(text),
            tallies: report.tallies.iter().map(tally).collect(),
            retries_pending: report.retries,
            delivered: report.delivered,
            opened: report.opened,
            acknowledgement_rate: reached.acknowledged().rate(),
            open_rate: reached.opened().rate(),
        }
    }
}

impl Audience {
    fn of(target: Target) -> Self {
        match target {
            Target::Named(kind, size) => Self {
                kind: kind.as_str(),
                size: Some(size),
                of: None,
            },
            Target::FailuresOf(publish) => Self {
                kind: "failures",
                size: None,
                of: Some(publish.to_string()),
            },
        }
    }
}

fn user_of(failed: &Failed) -> Option<String> {
    failed.user.as_ref().map(|user| user.as_str().to_owned())
}

impl Failure {
    pub(in crate::http) fn of(failed: &Failed) -> Self {
        Self {
            device: failed.device.to_string(),
            platform: failed.device.platform().as_str(),
            user: user_of(failed),
            outcome: failed.outcome.as_str(),
            reason: failed.reason.clone().into_owned(),
            at: failed.at.to_string(),
        }
    }
}

impl FailureKind {
    /// Failures by what happened.
    pub(in crate::http) fn all_of(failed: &[Failed]) -> Vec<Self> {
        let mut kinds: BTreeMap<_, Vec<Example>> = BTreeMap::new();
        for one in failed {
            let platform = one.device.platform().as_str();
            let kind = (platform, one.outcome.as_str(), one.reason.as_ref());
            let examples = kinds.entry(kind).or_default();
            if examples.len() < EXAMPLES_MAX {
                examples.push(Example {
                    device: one.device.to_string(),
                    user: user_of(one),
                    at: one.at.to_string(),
                });
            }
        }
        let kind = |((platform, outcome, reason), examples): ((_, _, &str), _)| Self {
            platform,
            outcome,
            reason: reason.to_owned(),
            examples,
        };
        kinds.into_iter().map(kind).collect()
    }
}

impl User {
    pub(in crate::http) fn of(state: PublishState, outcome: &UserOutcome) -> Self {
        let word = match (state, outcome.accepted, outcome.failed) {
            (_, 1.., _) => "accepted",
            (PublishState::Scheduled | PublishState::Running, ..) => "pending",
            (_, 0, 1..) => "failed",
            (PublishState::Finished, ..) => "no_devices",
            (PublishState::Cancelled, ..) => "cancelled",
        };
        Self {
            user: outcome.user.as_str().to_owned(),
            outcome: word,
            accepted: outcome.accepted,
            failed: outcome.failed,
        }
    }
}
