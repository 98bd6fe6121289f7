//! What answers of FCM and of Google's token endpoint mean. Firebase: FCM error codes (`FcmError`, `ErrorCode`); Google:
//! `google.rpc.Status`; RFC 6749 section 5.2.
//!
//! The one place that knows FCM's error words. Invariant: a device is only called dead by FCM's own typed word about its
//! token. A wrong project or sender is told apart from that, since it would otherwise cost every device.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::outcome::{Outcome, Reason};
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::http::{Answer, retry_after};

/// The longest error word that is passed on.
const REASON_LENGTH_MAX: usize = 48;
/// Our words for too much traffic.
pub(super) const QUOTA_EXCEEDED: &str = "quota_exceeded";
pub(super) const TOO_MANY_REQUESTS: &str = "too_many_requests";
/// The field of a request that holds the registration token.
const TOKEN_FIELD: &str = "message.token";
/// How FCM begins to say that a token is none, where it names no field.
const NO_TOKEN_MESSAGE: &str = "The registration token is not a valid FCM registration token";
/// How long a token holds that does not say so, and the longest that is believed.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// An answer, before a new access token was tried.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Outcome(Outcome),
    /// The access token is refused.
    Unauthenticated,
}

impl Answered {
    /// What it means when a new access token is refused too.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Outcome(outcome) => outcome,
            Self::Unauthenticated => Outcome::credential_broken("unauthenticated"),
        }
    }
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: String,
    status: String,
    details: Vec<Detail>,
}

/// A detail of any kind; the fields of those that matter here.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    error_code: String,
    field_violations: Vec<FieldViolation>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FieldViolation {
    field: String,
}

/// Reads the answer to a message.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Answered {
    if answer.status == StatusCode::OK {
        return Answered::Outcome(Outcome::Accepted);
    }
    let status = serde_json::from_slice::<Body>(&answer.body)
        .unwrap_or_default()
        .error;
    let code = status
        .details
        .iter()
        .map(|detail| detail.error_code.as_str())
        .find(|code| !code.is_empty());
    let retry = |reason: Reason| Outcome::Retry {
        reason,
        after: retry_after(&answer.headers, now),
    };
    Answered::Outcome(match (answer.status.as_u16(), code) {
        (404, Some("UNREGISTERED")) => Outcome::token_dead("unregistered"),
        (400, _) if names_the_token(&status, code) => Outcome::token_dead("invalid_token"),
        // The token was made for another project. With this credential the device is never reached; but if the credential
        // is that of a wrong project all devices answer so, and they must not be lost.
        (403, Some("SENDER_ID_MISMATCH")) => Outcome::rejected("sender_id_mismatch"),
        // The app's own APNs key or Web Push key in Firebase: of no concern to devices of other platforms.
        (_, Some("THIRD_PARTY_AUTH_ERROR")) => Outcome::rejected("third_party_auth_error"),
        (_, Some("QUOTA_EXCEEDED")) => retry(QUOTA_EXCEEDED.into()),
        (_, Some("UNAVAILABLE")) => retry("unavailable".into()),
        (_, Some("INTERNAL")) => retry("internal".into()),
        (401, _) => return Answered::Unauthenticated,
        // No word of FCM's own: Google refuses the account, its role, or the project's API.
        (403, None) if status.status == "PERMISSION_DENIED" => {
            Outcome::credential_broken("permission_denied")
        }
        (408, _) => retry("request_timeout".into()),
        (429, _) => retry(TOO_MANY_REQUESTS.into()),
        (413, _) => Outcome::rejected("payload_too_large"),
        (status_code @ 400..=499, code) => {
            Outcome::rejected(word(code.unwrap_or(&status.status), status_code))
        }
        (500, _) => retry("internal".into()),
        (503, _) => retry("unavailable".into()),
        // Redirects and the like do not come from FCM.
        (status, _) => retry(format!("status_{status}").into()),
    })
}

/// Whether FCM says that what is wrong is the token. By the field, where one is named; FCM's usual answer names none.
fn names_the_token(status: &Status, code: Option<&str>) -> bool {
    let mut violations = status
        .details
        .iter()
        .flat_map(|detail| &detail.field_violations)
        .peekable();
    if violations.peek().is_some() {
        return violations.all(|violation| violation.field == TOKEN_FIELD);
    }
    code == Some("INVALID_ARGUMENT") && status.message.starts_with(NO_TOKEN_MESSAGE)
}

/// An access token as it was granted.
pub(super) struct Granted {
    pub(super) access_token: Zeroizing<String>,
    pub(super) lifetime: Duration,
}

#[derive(Deserialize)]
struct GrantedBody {
    access_token: Zeroizing<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Deserialize, Default)]
struct OAuthError {
    #[serde(default)]
    error: String,
}

/// Reads the answer to an assertion; or says what the lack of a token means for a delivery.
pub(super) fn read_token(answer: &Answer, now: Timestamp) -> Result<Granted, Outcome> {
    let retry = |reason: Reason| Outcome::Retry {
        reason,
        after: retry_after(&answer.headers, now),
    };
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        let body: GrantedBody =
            serde_json::from_slice(&answer.body).map_err(|_| Outcome::retry("token_malformed"))?;
        let asked = body.expires_in.map_or(TOKEN_LIFETIME, Duration::from_secs);
        return Ok(Granted {
            access_token: body.access_token,
            lifetime: asked.min(TOKEN_LIFETIME),
        });
    }
    if matches!(status, 408 | 429) || !(400..=499).contains(&status) {
        return Err(retry(format!("token_endpoint_status_{status}").into()));
    }
    let error = serde_json::from_slice::<OAuthError>(&answer.body)
        .unwrap_or_default()
        .error;
    Err(match error.as_str() {
        "invalid_grant" => Outcome::credential_broken("invalid_grant"),
        "invalid_client" => Outcome::credential_broken("invalid_client"),
        "unauthorized_client" => Outcome::credential_broken("unauthorized_client"),
        "access_denied" => Outcome::credential_broken("access_denied"),
        "invalid_scope" => Outcome::credential_broken("invalid_scope"),
        "invalid_request" | "unsupported_grant_type" => {
            Outcome::credential_broken("token_request_refused")
        }
        // Not the words of a token endpoint: a proxy, or a wrong address. It may be set right.
        _ => retry(format!("token_endpoint_status_{status}").into()),
    })
}

/// A word of Google's in our own form.
fn word(google: &str, status: u16) -> String {
    let word: String = google
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .take(REASON_LENGTH_MAX)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    if word.is_empty() {
        format!("status_{status}")
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use domain::outcome::OutcomeKind::{self, CredentialBroken, Rejected, Retry, TokenDead};
    use http::HeaderMap;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    fn error(
        http: u16,
        status: &str,
        code: Option<&str>,
        field: Option<&str>,
        message: &str,
    ) -> Answer {
        let mut details = Vec::new();
        if let Some(code) = code {
            let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
            details.push(json!({"@type": kind, "errorCode": code}));
        }
        if let Some(field) = field {
            let violations = json!([{"field": field, "description": "d"}]);
            details.push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}));
        }
        let body = json!({"error": {"code": http, "message": message, "status": status, "details": details}});
        answer(http, body.to_string())
    }

    fn kind_and_reason(answer: &Answer) -> (OutcomeKind, String) {
        let outcome = read(answer, NOW).outcome();
        (
            outcome.kind(),
            outcome.reason().unwrap_or_default().to_owned(),
        )
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one row per documented error")]
    fn every_documented_error_has_its_outcome() {
        for (http, status, code, kind, word) in [
            (
                404,
                "NOT_FOUND",
                Some("UNREGISTERED"),
                TokenDead,
                "unregistered",
            ),
            (404, "NOT_FOUND", None, Rejected, "not_found"),
            (
                400,
                "INVALID_ARGUMENT",
                Some("INVALID_ARGUMENT"),
                Rejected,
                "invalid_argument",
            ),
            (400, "INVALID_ARGUMENT", None, Rejected, "invalid_argument"),
            (
                403,
                "PERMISSION_DENIED",
                Some("SENDER_ID_MISMATCH"),
                Rejected,
                "sender_id_mismatch",
            ),
            (
                403,
                "PERMISSION_DENIED",
                None,
                CredentialBroken,
                "permission_denied",
            ),
            (
                401,
                "UNAUTHENTICATED",
                Some("THIRD_PARTY_AUTH_ERROR"),
                Rejected,
                "third_party_auth_error",
            ),
            (
                401,
                "UNAUTHENTICATED",
                None,
                CredentialBroken,
                "unauthenticated",
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                Some("QUOTA_EXCEEDED"),
                Retry,
                "quota_exceeded",
            ),
            (429, "RESOURCE_EXHAUSTED", None, Retry, "too_many_requests"),
            (
                503,
                "UNAVAILABLE",
                Some("UNAVAILABLE"),
                Retry,
                "unavailable",
            ),
            (500, "INTERNAL", Some("INTERNAL"), Retry, "internal"),
            (
                400,
                "FAILED_PRECONDITION",
                Some("UNSPECIFIED_ERROR"),
                Rejected,
                "unspecified_error",
            ),
            (502, "", None, Retry, "status_502"),
            (302, "", None, Retry, "status_302"),
            (403, "", None, Rejected, "status_403"),
        ] {
            let expected = (kind, word.to_owned());
            assert_eq!(
                kind_and_reason(&error(http, status, code, None, "m")),
                expected,
                "{http} {status} {code:?}"
            );
        }
        assert_eq!(
            read(&answer(200, "{}"), NOW),
            Answered::Outcome(Outcome::Accepted)
        );
        let refused = error(401, "UNAUTHENTICATED", None, None, "m");
        assert_eq!(read(&refused, NOW), Answered::Unauthenticated);
    }

    #[test]
    fn only_what_names_the_token_makes_it_dead() {
        let invalid = |field, message| {
            kind_and_reason(&error(
                400,
                "INVALID_ARGUMENT",
                Some("INVALID_ARGUMENT"),
                field,
                message,
            ))
            .0
        };
        assert_eq!(
            invalid(Some("message.token"), "Invalid registration"),
            TokenDead
        );
        assert_eq!(invalid(Some("message.data"), NO_TOKEN_MESSAGE), Rejected);
        assert_eq!(invalid(None, NO_TOKEN_MESSAGE), TokenDead);
        assert_eq!(
            invalid(
                None,
                &format!("Invalid value at 'message.data': {NO_TOKEN_MESSAGE}")
            ),
            Rejected
        );
        let both = json!({"error": {"status": "INVALID_ARGUMENT", "details": [
            {"errorCode": "INVALID_ARGUMENT"},
            {"fieldViolations": [{"field": "message.token"}, {"field": "message.data"}]}]}});
        assert_eq!(kind_and_reason(&answer(400, both.to_string())).0, Rejected);
    }

    #[test]
    fn retry_after_is_passed_on() {
        let mut throttled = error(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), None, "m");
        throttled
            .headers
            .insert("retry-after", "60".parse().unwrap());
        let after = Some(Duration::from_secs(60));
        let expected = Outcome::Retry {
            reason: "quota_exceeded".into(),
            after,
        };
        assert_eq!(read(&throttled, NOW), Answered::Outcome(expected));
    }

    #[test]
    fn a_token_is_read_with_its_lifetime() {
        let granted = |body: &str| read_token(&answer(200, body.to_owned()), NOW);
        let read = granted(r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#)
            .ok()
            .unwrap();
        assert_eq!(
            (read.access_token.as_str(), read.lifetime.as_secs()),
            ("t", 3599)
        );
        let long = granted(r#"{"access_token":"t","expires_in":999999999999}"#)
            .ok()
            .unwrap();
        assert_eq!(long.lifetime, TOKEN_LIFETIME);
        assert_eq!(
            granted(r#"{"access_token":"t"}"#).ok().unwrap().lifetime,
            TOKEN_LIFETIME
        );
        for bad in ["", "{}", "[]", r#"{"access_token":7}"#] {
            assert_eq!(
                granted(bad).err().unwrap(),
                Outcome::retry("token_malformed"),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_token_endpoint_breaks_a_credential_only_in_its_own_words() {
        for (status, body, kind) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                CredentialBroken,
            ),
            (401, r#"{"error":"invalid_client"}"#, CredentialBroken),
            (401, r#"{"error":"unauthorized_client"}"#, CredentialBroken),
            (403, r#"{"error":"access_denied"}"#, CredentialBroken),
            (400, r#"{"error":"invalid_scope"}"#, CredentialBroken),
            (400, r#"{"error":"invalid_request"}"#, CredentialBroken),
            (400, "<html>", Retry),
            (404, "", Retry),
            (429, r#"{"error":"invalid_grant"}"#, Retry),
            (500, r#"{"error":"invalid_grant"}"#, Retry),
            (302, "", Retry),
        ] {
            let outcome = read_token(&answer(status, body), NOW).err().unwrap();
            assert_eq!(outcome.kind(), kind, "{status} {body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 200_u16..600, body: Vec<u8>) {
            let answer = answer(status, body);
            let _ = read(&answer, NOW);
            let _ = read_token(&answer, NOW);
        }

        #[test]
        fn no_status_alone_costs_a_device(status in 200_u16..600, google in "[A-Z_]{0,12}") {
            let outcome = read(&error(status, &google, None, None, "m"), NOW).outcome();
            prop_assert_ne!(outcome.kind(), TokenDead);
        }
    }
}
