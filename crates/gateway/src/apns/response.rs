//! What an answer of APNs means. Apple: Handling notification responses from APNs.
//!
//! The one place that knows APNs' reasons. Invariant: a device is only called dead by an answer that says so in APNs' own
//! words, never by a status alone that a proxy could have made, except for 410, which has no other meaning.

use domain::clock::Timestamp;
use domain::outcome::{Outcome, Reason};
use http::StatusCode;
use serde::Deserialize;

use crate::http::{Answer, retry_after};

/// The longest reason that is passed on.
const REASON_LENGTH_MAX: usize = 48;

/// What one of the two gateways says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Final(Outcome),
    /// Not here, perhaps on the other one; with what it means if the other one says the same.
    OtherEnvironment(Refusal),
}

/// Why a gateway sends us to the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not know the token.
    Token,
    /// It does not take the key, which is restricted to the other environment.
    Key,
}

/// An answer, before the provider token was made anew for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Verdict(Verdict),
    /// The provider token is over an hour old.
    ExpiredToken,
}

impl Answered {
    /// What it means when no newer token can be had: too old by Apple's clock, not by ours. A wrong clock is neither the
    /// credential's fault nor for ever.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Verdict(verdict) => verdict,
            Self::ExpiredToken => Verdict::Final(Outcome::retry("expired_provider_token")),
        }
    }
}

/// What it means when both gateways refuse.
pub(super) fn refused_by_both(first: Refusal, second: Refusal) -> Outcome {
    match (first, second) {
        (Refusal::Token, Refusal::Token) => Outcome::token_dead("bad_device_token"),
        (Refusal::Key, Refusal::Key) => Outcome::credential_broken("bad_environment_key"),
        // The token may well live where the key does not lead.
        _ => Outcome::rejected("bad_device_token"),
    }
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    reason: String,
    /// Milliseconds since the Unix epoch; with 410 only.
    #[serde(default)]
    timestamp: Option<i64>,
}

/// Reads an answer.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Answered {
    if answer.status == StatusCode::OK {
        return Answered::Verdict(Verdict::Final(Outcome::Accepted));
    }
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let retry = |reason: Reason| {
        Answered::Verdict(Verdict::Final(Outcome::Retry {
            reason,
            after: retry_after(&answer.headers, now),
        }))
    };
    let outcome = match (answer.status.as_u16(), body.reason.as_str()) {
        (400, "BadDeviceToken") => {
            return Answered::Verdict(Verdict::OtherEnvironment(Refusal::Token));
        }
        (403, "BadEnvironmentKeyIdInToken" | "BadEnvironmentKeyInToken") => {
            return Answered::Verdict(Verdict::OtherEnvironment(Refusal::Key));
        }
        (403, "ExpiredProviderToken") => return Answered::ExpiredToken,
        // Both 410: the app was removed, or its token was replaced.
        (410, "ExpiredToken") => dead("expired_token", body.timestamp),
        (410, _) => dead("unregistered", body.timestamp),
        (403, "InvalidProviderToken") => Outcome::credential_broken("invalid_provider_token"),
        (403, "MissingProviderToken") => Outcome::credential_broken("missing_provider_token"),
        (403, "BadCertificate") => Outcome::credential_broken("bad_certificate"),
        (403, "BadCertificateEnvironment") => {
            Outcome::credential_broken("bad_certificate_environment")
        }
        (403, "Forbidden") => Outcome::credential_broken("forbidden"),
        (403, "UnrelatedKeyIdInToken") => Outcome::credential_broken("unrelated_key_id"),
        (429, "TooManyProviderTokenUpdates") => {
            return retry("too_many_provider_token_updates".into());
        }
        // Apple: too many requests in a row to the same device token.
        (429, _) => return retry("too_many_requests_for_device".into()),
        // Closed for lying idle: nothing was wrong with the request.
        (400, "IdleTimeout") => return retry("idle_timeout".into()),
        (413, _) => Outcome::rejected("payload_too_large"),
        (400..=499, "") => Outcome::rejected(format!("status_{}", answer.status.as_u16())),
        // BadCollapseId, BadExpirationDate, BadMessageId, BadPath, BadPriority, BadTopic, DeviceTokenNotForTopic,
        // DuplicateHeaders, InvalidPushType, MethodNotAllowed, MissingDeviceToken, MissingTopic, PayloadEmpty,
        // TopicDisallowed, and what Apple thinks of later. A token that is not for the device's topic belongs to another
        // app, so it lives.
        (400..=499, reason) => Outcome::rejected(word(reason)),
        (503, "Shutdown") => return retry("shutdown".into()),
        (503, _) => return retry("service_unavailable".into()),
        (500, _) => return retry("internal_server_error".into()),
        // Redirects and the like do not come from APNs.
        (status, _) => return retry(format!("status_{status}").into()),
    };
    Answered::Verdict(Verdict::Final(outcome))
}

fn dead(reason: &'static str, timestamp: Option<i64>) -> Outcome {
    Outcome::TokenDead {
        reason: reason.into(),
        since: timestamp.map(Timestamp::from_millis),
    }
}

/// APNs' camel-case reason in our own form: lower case, words set apart, nothing but ASCII letters and digits.
fn word(reason: &str) -> String {
    let mut word = String::new();
    for letter in reason
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(REASON_LENGTH_MAX)
    {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    if word.is_empty() {
        "unknown".into()
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use domain::outcome::OutcomeKind;
    use http::HeaderMap;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    fn reason(status: u16, reason: &str) -> Answered {
        read(&answer(status, format!(r#"{{"reason":"{reason}"}}"#)), NOW)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one row per documented reason")]
    fn every_documented_reason_has_its_outcome() {
        use OutcomeKind::{CredentialBroken, Rejected, Retry, TokenDead};
        for (status, text, kind, word) in [
            (400, "BadCollapseId", Rejected, "bad_collapse_id"),
            (400, "BadExpirationDate", Rejected, "bad_expiration_date"),
            (400, "BadMessageId", Rejected, "bad_message_id"),
            (400, "BadPriority", Rejected, "bad_priority"),
            (400, "BadTopic", Rejected, "bad_topic"),
            (
                400,
                "DeviceTokenNotForTopic",
                Rejected,
                "device_token_not_for_topic",
            ),
            (400, "DuplicateHeaders", Rejected, "duplicate_headers"),
            (400, "IdleTimeout", Retry, "idle_timeout"),
            (400, "InvalidPushType", Rejected, "invalid_push_type"),
            (400, "MissingDeviceToken", Rejected, "missing_device_token"),
            (400, "MissingTopic", Rejected, "missing_topic"),
            (400, "PayloadEmpty", Rejected, "payload_empty"),
            (400, "TopicDisallowed", Rejected, "topic_disallowed"),
            (403, "BadCertificate", CredentialBroken, "bad_certificate"),
            (
                403,
                "BadCertificateEnvironment",
                CredentialBroken,
                "bad_certificate_environment",
            ),
            (403, "Forbidden", CredentialBroken, "forbidden"),
            (
                403,
                "InvalidProviderToken",
                CredentialBroken,
                "invalid_provider_token",
            ),
            (
                403,
                "MissingProviderToken",
                CredentialBroken,
                "missing_provider_token",
            ),
            (
                403,
                "UnrelatedKeyIdInToken",
                CredentialBroken,
                "unrelated_key_id",
            ),
            (404, "BadPath", Rejected, "bad_path"),
            (405, "MethodNotAllowed", Rejected, "method_not_allowed"),
            (410, "ExpiredToken", TokenDead, "expired_token"),
            (410, "Unregistered", TokenDead, "unregistered"),
            (413, "PayloadTooLarge", Rejected, "payload_too_large"),
            (
                429,
                "TooManyProviderTokenUpdates",
                Retry,
                "too_many_provider_token_updates",
            ),
            (
                429,
                "TooManyRequests",
                Retry,
                "too_many_requests_for_device",
            ),
            (500, "InternalServerError", Retry, "internal_server_error"),
            (503, "ServiceUnavailable", Retry, "service_unavailable"),
            (503, "Shutdown", Retry, "shutdown"),
            // Not documented.
            (400, "SomethingNew", Rejected, "something_new"),
            (403, "SomethingNew", Rejected, "something_new"),
            (502, "", Retry, "status_502"),
            (302, "", Retry, "status_302"),
            (418, "", Rejected, "status_418"),
        ] {
            let Answered::Verdict(Verdict::Final(outcome)) = reason(status, text) else {
                panic!("{status} {text} is not final")
            };
            assert_eq!(
                (outcome.kind(), outcome.reason()),
                (kind, Some(word)),
                "{status} {text}"
            );
        }
        let elsewhere = |refusal| Answered::Verdict(Verdict::OtherEnvironment(refusal));
        assert_eq!(reason(400, "BadDeviceToken"), elsewhere(Refusal::Token));
        assert_eq!(
            reason(403, "BadEnvironmentKeyIdInToken"),
            elsewhere(Refusal::Key)
        );
        assert_eq!(reason(403, "ExpiredProviderToken"), Answered::ExpiredToken);
        assert_eq!(
            read(&answer(200, ""), NOW),
            Answered::Verdict(Verdict::Final(Outcome::Accepted))
        );
    }

    #[test]
    fn a_dead_token_says_since_when() {
        let body = r#"{"reason":"Unregistered","timestamp":1700000000123}"#;
        let Answered::Verdict(Verdict::Final(outcome)) = read(&answer(410, body), NOW) else {
            panic!()
        };
        let since = Some(Timestamp::from_millis(1_700_000_000_123));
        assert_eq!(
            outcome,
            Outcome::TokenDead {
                reason: "unregistered".into(),
                since
            }
        );
    }

    #[test]
    fn only_two_refusals_of_the_token_make_it_dead() {
        use Refusal::{Key, Token};
        assert_eq!(refused_by_both(Token, Token).kind(), OutcomeKind::TokenDead);
        assert_eq!(
            refused_by_both(Key, Key).kind(),
            OutcomeKind::CredentialBroken
        );
        assert_eq!(refused_by_both(Token, Key).kind(), OutcomeKind::Rejected);
        assert_eq!(refused_by_both(Key, Token).kind(), OutcomeKind::Rejected);
    }

    #[test]
    fn retry_after_is_passed_on() {
        let mut throttled = answer(429, r#"{"reason":"TooManyRequests"}"#);
        throttled
            .headers
            .insert("retry-after", "7".parse().unwrap());
        let Answered::Verdict(Verdict::Final(outcome)) = read(&throttled, NOW) else {
            panic!()
        };
        let after = Some(Duration::from_secs(7));
        assert_eq!(
            outcome,
            Outcome::Retry {
                reason: "too_many_requests_for_device".into(),
                after
            }
        );
    }

    #[test]
    fn reasons_are_made_harmless() {
        assert_eq!(word("Bad\n\u{7}Töpic \"x\""), "bad_tpicx");
        assert_eq!(word("€"), "unknown");
        assert!(word(&"A".repeat(1000)).len() <= 2 * REASON_LENGTH_MAX);
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 200_u16..600, body: Vec<u8>) {
            let _ = read(&answer(status, body), NOW);
        }

        #[test]
        fn no_reason_but_apples_own_costs_a_device(status in (200_u16..600).prop_filter("410", |s| *s != 410), text in "[A-Za-z]{0,20}") {
            if let Answered::Verdict(Verdict::Final(outcome)) = reason(status, &text) {
                prop_assert_ne!(outcome.kind(), OutcomeKind::TokenDead);
            }
        }
    }
}
