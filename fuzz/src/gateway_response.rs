//! Answers of gateways: no answer costs a device or an instance's credential that does not say so, in the gateway's own words or by
//! a status that the gateway gives no other meaning; and none parks a delivery for longer than an hour.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::outcome::{Outcome, OutcomeKind};
use gateway::fuzzing::{Answered, RETRY_AFTER_MAX};

use crate::json::Json;
use crate::verdict::Verdict;

/// The longest reason, in bytes: it becomes a label of metrics and a column.
const REASON_LENGTH_MAX: usize = 100;
/// How long a token of Google's holds at most, and where it does not say.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Apple: Handling notification responses from APNs, the reasons of 403 that no other attempt mends.
const APNS_CREDENTIAL: [&str; 8] = [
    "BadCertificate",
    "BadCertificateEnvironment",
    "BadEnvironmentKeyIdInToken",
    "BadEnvironmentKeyInToken",
    "Forbidden",
    "InvalidProviderToken",
    "MissingProviderToken",
    "UnrelatedKeyIdInToken",
];
/// RFC 6749 section 5.2, and `access_denied` of section 4.1.2.1.
const TOKEN_CREDENTIAL: [&str; 7] = [
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// Checks two bytes of a status, one of the length of a Retry-After header, that header, and a body. The verdict is what each
/// gateway means by it.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let [high, low, length, rest @ ..] = data else {
        return Verdict::UNREAD;
    };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 900;
    let (retry_after, body) = rest.split_at(usize::from(*length).min(rest.len()));
    let retry_after = (*length > 0).then_some(retry_after);
    let Some(answer) = Answered::new(status, retry_after, body) else {
        return Verdict::UNREAD;
    };
    let said = Said {
        body,
        read: Json::read(body),
    };
    let now = Timestamp::from_secs(1_700_000_000);
    let apns = apns(status, &said, sound(answer.apns(now)));
    let fcm = fcm(status, &said, sound(answer.fcm(now)));
    let token = token(status, &said, answer.token(now));
    let web = web(status, sound(answer.web_push(now)));
    Verdict::of(format!(
        "{status}: apns {apns}, fcm {fcm}, token {token}, web {web}"
    ))
}

fn apns(status: u16, said: &Said<'_>, outcome: Outcome) -> String {
    match outcome.kind() {
        OutcomeKind::Accepted => assert_eq!(status, 200),
        OutcomeKind::TokenDead => assert!(
            status == 410
                || status == 400 && said.any(&["BadDeviceToken"], |body| body.part("reason", 0)),
            "{status}"
        ),
        OutcomeKind::CredentialBroken => {
            assert_eq!(status, 403);
            assert!(said.any(&APNS_CREDENTIAL, |body| body.part("reason", 0)));
        }
        _ => assert_ne!(status, 200),
    }
    in_words(&outcome)
}

fn fcm(status: u16, said: &Said<'_>, outcome: Outcome) -> String {
    match outcome.kind() {
        OutcomeKind::Accepted => assert_eq!(status, 200),
        OutcomeKind::TokenDead => {
            let gone = status == 404
                && said.has(&["UNREGISTERED"], |body| {
                    details(body).any(|detail| detail.part("errorCode", 0).is("UNREGISTERED"))
                });
            let none = status == 400
                && said.has(&["message.token", "registration token"], |body| {
                    let message = body.part("error", 0).part("message", 0);
                    let is_no_token = message.0.and_then(Json::text).is_some_and(|text| {
                        text.starts_with(
                            "The registration token is not a valid FCM registration token",
                        )
                    });
                    let mut violations = details(body)
                        .flat_map(|detail| detail.part("fieldViolations", 1).entries());
                    is_no_token
                        || violations
                            .any(|violation| violation.part("field", 0).is("message.token"))
                });
            assert!(gone || none, "{status}");
        }
        // A new access token was made when the first was refused, so there is no other reading of a second 401.
        OutcomeKind::CredentialBroken => assert!(
            status == 401
                || status == 403
                    && said.any(&["PERMISSION_DENIED"], |body| {
                        body.part("error", 0).part("status", 1)
                    }),
            "{status}"
        ),
        _ => assert_ne!(status, 200),
    }
    in_words(&outcome)
}

fn details<'a>(body: Part<'a>) -> impl Iterator<Item = Part<'a>> {
    body.part("error", 0).part("details", 2).entries()
}

fn token(status: u16, said: &Said<'_>, found: Result<Duration, Outcome>) -> String {
    match found {
        Ok(lifetime) => {
            assert!((200..300).contains(&status) && lifetime <= LIFETIME);
            if let Some(body) = &said.read {
                let body = Part(Some(body));
                assert!(
                    body.part("access_token", 0)
                        .0
                        .and_then(Json::text)
                        .is_some()
                );
                let asked = match body.part("expires_in", 1).0 {
                    Some(Json::Number(secs)) => {
                        Duration::from_secs(secs.parse().expect("a whole number"))
                    }
                    _ => LIFETIME,
                };
                assert_eq!(lifetime, asked.min(LIFETIME));
            }
            format!("for {} s", lifetime.as_secs())
        }
        Err(outcome) => {
            let outcome = sound(outcome);
            match outcome.kind() {
                OutcomeKind::Retry => {}
                OutcomeKind::CredentialBroken => {
                    assert!((400..500).contains(&status) && ![408, 429].contains(&status));
                    assert!(said.any(&TOKEN_CREDENTIAL, |body| body.part("error", 0)));
                }
                _ => panic!("no device is to blame for a token endpoint"),
            }
            in_words(&outcome)
        }
    }
}

fn web(status: u16, outcome: Outcome) -> String {
    assert_ne!(
        outcome.kind(),
        OutcomeKind::CredentialBroken,
        "a hostile push service breaks no key"
    );
    assert_eq!(
        outcome.kind() == OutcomeKind::TokenDead,
        matches!(status, 404 | 410)
    );
    in_words(&outcome)
}

/// What a body says.
struct Said<'a> {
    body: &'a [u8],
    read: Option<Json>,
}

impl Said<'_> {
    /// Whether it says so by another reader. Of a body that is not for that one (deeper, or not UTF-8 where nobody looks),
    /// whether any of the words stands in it.
    fn has(&self, words: &[&str], says: impl FnOnce(Part<'_>) -> bool) -> bool {
        if let Some(body) = &self.read {
            return says(Part(Some(body)));
        }
        // Words may be written with escapes.
        let text = String::from_utf8_lossy(self.body);
        text.contains('\\') || words.iter().any(|word| text.contains(word))
    }

    /// Whether one part of it is one of these words.
    fn any(&self, words: &[&str], part: impl FnOnce(Part<'_>) -> Part<'_>) -> bool {
        self.has(words, |body| {
            let part = part(body);
            words.iter().any(|word| part.is(word))
        })
    }
}

/// A part of a body that may not be there.
#[derive(Clone, Copy)]
struct Part<'a>(Option<&'a Json>);

impl<'a> Part<'a> {
    /// A field of an object; or an entry of a list, which a reader of typed fields takes for the same.
    fn part(self, name: &str, position: usize) -> Self {
        Self(match self.0 {
            Some(Json::Object(fields)) => fields.get(name),
            Some(Json::List(list)) => list.get(position),
            _ => None,
        })
    }

    fn entries(self) -> impl Iterator<Item = Part<'a>> {
        let list = self.0.and_then(Json::list).unwrap_or_default();
        list.iter().map(|entry| Part(Some(entry)))
    }

    fn is(self, word: &str) -> bool {
        self.0.and_then(Json::text) == Some(word)
    }
}

fn sound(outcome: Outcome) -> Outcome {
    if let Outcome::Retry { after, .. } = &outcome {
        assert!(after.is_none_or(|after| after <= RETRY_AFTER_MAX));
    }
    if let Some(reason) = outcome.reason() {
        assert!((1..=REASON_LENGTH_MAX).contains(&reason.len()));
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(reason.bytes().all(plain), "{reason:?} is a word of ours");
    }
    outcome
}

fn in_words(outcome: &Outcome) -> String {
    let kind = outcome.kind().as_str();
    match outcome.reason() {
        Some(reason) => format!("{kind} {reason}"),
        None => kind.to_owned(),
    }
}
