//! What an answer of a push service means. RFC 8030 sections 5 and 7.3, RFC 8292 section 4.
//!
//! Push services have no common error words, so the status is all that is read. Invariant: no answer breaks the instance's
//! VAPID key, since anybody can register a subscription whose push service says so.

use domain::clock::Timestamp;
use domain::outcome::{Outcome, Reason};

use crate::http::{Answer, retry_after};

/// Reads an answer.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Outcome {
    let retry = |reason: Reason| Outcome::Retry {
        reason,
        after: retry_after(&answer.headers, now),
    };
    match answer.status.as_u16() {
        // RFC 8030 says 201, or 202 where a receipt was asked for; services say any of these.
        200..=299 => Outcome::Accepted,
        404 => Outcome::token_dead("not_found"),
        410 => Outcome::token_dead("gone"),
        413 => Outcome::rejected("payload_too_large"),
        401 | 403 => Outcome::rejected("vapid_refused"),
        400 => Outcome::rejected("bad_request"),
        408 => retry("request_timeout".into()),
        425 => retry("too_early".into()),
        429 => retry("too_many_requests".into()),
        500 => retry("internal_server_error".into()),
        502 => retry("bad_gateway".into()),
        503 => retry("service_unavailable".into()),
        504 => retry("gateway_timeout".into()),
        // Not followed: a redirect could lead anywhere.
        300..=399 => Outcome::rejected("redirect"),
        status @ 500.. => retry(format!("status_{status}").into()),
        status => Outcome::rejected(format!("status_{status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use domain::outcome::OutcomeKind::{self, Accepted, Rejected, Retry, TokenDead};
    use http::{HeaderMap, StatusCode};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn answer(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    #[test]
    fn every_status_has_its_outcome() {
        for (status, kind, reason) in [
            (200, Accepted, None),
            (201, Accepted, None),
            (202, Accepted, None),
            (204, Accepted, None),
            (301, Rejected, Some("redirect")),
            (307, Rejected, Some("redirect")),
            (400, Rejected, Some("bad_request")),
            (401, Rejected, Some("vapid_refused")),
            (403, Rejected, Some("vapid_refused")),
            (404, TokenDead, Some("not_found")),
            (406, Rejected, Some("status_406")),
            (408, Retry, Some("request_timeout")),
            (410, TokenDead, Some("gone")),
            (413, Rejected, Some("payload_too_large")),
            (429, Retry, Some("too_many_requests")),
            (500, Retry, Some("internal_server_error")),
            (502, Retry, Some("bad_gateway")),
            (503, Retry, Some("service_unavailable")),
            (504, Retry, Some("gateway_timeout")),
            (599, Retry, Some("status_599")),
            (999, Retry, Some("status_999")),
        ] {
            let outcome = read(&answer(status), NOW);
            assert_eq!(
                (outcome.kind(), outcome.reason()),
                (kind, reason),
                "{status}"
            );
        }
    }

    #[test]
    fn retry_after_is_passed_on() {
        let mut throttled = answer(503);
        throttled
            .headers
            .insert("retry-after", "7".parse().unwrap());
        let after = Some(Duration::from_secs(7));
        assert_eq!(
            read(&throttled, NOW),
            Outcome::Retry {
                reason: "service_unavailable".into(),
                after
            }
        );
    }

    #[test]
    fn no_status_breaks_the_key() {
        for status in 100..=999 {
            assert_ne!(
                read(&answer(status), NOW).kind(),
                OutcomeKind::CredentialBroken,
                "{status}"
            );
        }
    }
}
