//! What publishes look like in JSON. Times are RFC 3339; a gateway token is never among it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::lookup::{Failed, PublishReport, PublishState, Target, UserOutcome};
use store::publishes::Tally;

/// How many failed devices are shown for each reason.
const EXAMPLES_MAX: usize = 3;

/// A publish in a list.
pub(super) fn summary(report: &PublishReport) -> Value {
    json!({
        "publishId": report.id.to_string(),
        "state": report.state.as_str(),
        "audience": audience(report.target),
        "acceptedAt": report.accepted_at.to_string(),
        "sendAt": report.send_at.to_string(),
        "expiresAt": report.expires_at.map(|at| at.to_string()),
        "finishedAt": report.finished_at.map(|at| at.to_string()),
        "tallies": report.tallies.iter().map(tally).collect::<Vec<_>>(),
        "retriesPending": report.retries,
        "delivered": report.delivered,
        "opened": report.opened,
    })
}

fn audience(target: Target) -> Value {
    match target {
        Target::Named(kind, size) => json!({"kind": kind.as_str(), "size": size}),
        Target::FailuresOf(publish) => {
            json!({"kind": "failures", "of": publish.to_string()})
        }
    }
}

fn tally(tally: &Tally) -> Value {
    let mut json = json!({
        "platform": tally.platform.as_str(),
        "outcome": tally.outcome.as_str(),
        "count": tally.count,
    });
    if !tally.reason.is_empty() {
        json["reason"] = tally.reason.as_ref().into();
    }
    json
}

/// One delivery that failed.
pub(super) fn failure(failed: &Failed) -> Value {
    json!({
        "device": failed.device.to_string(),
        "platform": failed.device.platform().as_str(),
        "user": failed.user.as_ref().map(|user| user.as_str()),
        "outcome": failed.outcome.as_str(),
        "reason": failed.reason,
        "at": failed.at.to_string(),
    })
}

/// Failures by what happened, with a few devices for each.
pub(super) fn examples(failed: &[Failed]) -> Value {
    let mut groups: BTreeMap<_, Vec<&Failed>> = BTreeMap::new();
    for one in failed {
        let what = (
            one.device.platform().as_str(),
            one.outcome.as_str(),
            one.reason.as_ref(),
        );
        let group = groups.entry(what).or_default();
        if group.len() < EXAMPLES_MAX {
            group.push(one);
        }
    }
    groups
        .into_iter()
        .map(|((platform, outcome, reason), devices)| {
            let examples: Vec<_> = devices
                .into_iter()
                .map(|one| {
                    json!({
                        "device": one.device.to_string(),
                        "user": one.user.as_ref().map(|user| user.as_str()),
                        "at": one.at.to_string(),
                    })
                })
                .collect();
            json!({"platform": platform, "outcome": outcome, "reason": reason, "examples": examples})
        })
        .collect::<Vec<_>>()
        .into()
}

/// What became of a publish for one user.
pub(super) fn user(state: PublishState, outcome: &UserOutcome) -> Value {
    let word = match (state, outcome.accepted, outcome.failed) {
        (_, 1.., _) => "accepted",
        (PublishState::Scheduled | PublishState::Running, ..) => "pending",
        (_, 0, 1..) => "failed",
        (PublishState::Finished, ..) => "no_devices",
        (PublishState::Cancelled, ..) => "cancelled",
    };
    json!({
        "user": outcome.user.as_str(),
        "outcome": word,
        "accepted": outcome.accepted,
        "failed": outcome.failed,
    })
}
