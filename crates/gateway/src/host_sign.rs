//! What an attempt tells of its host.
//!
//! Made of an outcome's reason, which the gateways' `response` modules and the outbound client chose. Whoever sends presses a
//! host as hard as its signs allow; nothing here remembers any.

use std::time::Duration;

use domain::outcome::Outcome;

/// What an attempt says of the host that it went to, whatever became of the delivery: how hard it may be pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSign {
    /// The host answered, or we are to blame that it did not.
    Answered,
    /// The host did not answer, or not as it should.
    Failed,
    /// It was not asked, since there were too many other hosts that answer nothing.
    NotAsked,
    /// The host wants less, and if it names a time, nothing until then.
    Throttled(Option<Duration>),
}

impl HostSign {
    /// What these reasons tell is about ourselves, not about the host.
    const OWN_REASONS: [&str; 7] = [
        "access_token_pending",
        "access_token_unavailable",
        "address_not_allowed",
        "closing",
        "expired_provider_token",
        "provider_token_unavailable",
        "signing_failed",
    ];
    /// And this tells nothing of either.
    const NO_PLACE_REASON: &str = "too_many_hosts";
    /// With these, a host says that it is asked too much.
    const THROTTLE_REASONS: [&str; 3] = [
        "quota_exceeded",
        "too_many_provider_token_updates",
        "too_many_requests",
    ];
    /// And this is about one device only. Apple: too many requests in a row to the same device token.
    const DEVICE_REASON: &str = "too_many_requests_for_device";

    pub(crate) fn of(outcome: &Outcome) -> Self {
        let Outcome::Retry { reason, after } = outcome else {
            return Self::Answered;
        };
        if *reason == Self::DEVICE_REASON || Self::OWN_REASONS.contains(&&**reason) {
            Self::Answered
        } else if *reason == Self::NO_PLACE_REASON {
            Self::NotAsked
        } else if after.is_some() || Self::THROTTLE_REASONS.contains(&&**reason) {
            Self::Throttled(*after)
        } else {
            Self::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_judged_by_what_it_did_alone() {
        let retry = |reason: &'static str, secs: Option<u64>| Outcome::Retry {
            reason: reason.into(),
            after: secs.map(Duration::from_secs),
        };
        for (outcome, sign) in [
            (Outcome::Accepted, HostSign::Answered),
            (Outcome::token_dead("unregistered"), HostSign::Answered),
            (Outcome::credential_broken("forbidden"), HostSign::Answered),
            (retry("signing_failed", None), HostSign::Answered),
            (
                retry("provider_token_unavailable", None),
                HostSign::Answered,
            ),
            (retry("access_token_unavailable", None), HostSign::Answered),
            (retry("access_token_pending", None), HostSign::Answered),
            (
                retry("too_many_requests_for_device", Some(1)),
                HostSign::Answered,
            ),
            (retry("too_many_hosts", None), HostSign::NotAsked),
            (retry("timeout", None), HostSign::Failed),
            (retry("internal", None), HostSign::Failed),
            (retry("quota_exceeded", None), HostSign::Throttled(None)),
            (
                retry("unavailable", Some(7)),
                HostSign::Throttled(Some(Duration::from_secs(7))),
            ),
        ] {
            assert_eq!(HostSign::of(&outcome), sign, "{outcome:?}");
        }
    }
}
