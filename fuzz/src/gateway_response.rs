//! Answers of gateways: no answer costs a device or an instance's credential that does not say so in the gateway's own words,
//! and none parks a delivery for longer than an hour.

use domain::clock::Timestamp;
use domain::outcome::{Outcome, OutcomeKind};
use gateway::fuzzing::{Answered, RETRY_AFTER_MAX};

/// The longest reason, in bytes: it becomes a label of metrics and a column.
const REASON_LENGTH_MAX: usize = 100;

/// Checks two bytes of a status, one of the length of a Retry-After header, that header, and a body.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let [high, low, length, rest @ ..] = data else {
        return;
    };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 900;
    let (retry_after, body) = rest.split_at(usize::from(*length).min(rest.len()));
    let retry_after = (*length > 0).then_some(retry_after);
    let Some(answer) = Answered::new(status, retry_after, body) else {
        return;
    };
    let now = Timestamp::from_secs(1_700_000_000);
    let says = |word: &str| String::from_utf8_lossy(body).contains(word);
    // Words may be written with escapes.
    let escaped = body.contains(&b'\\');

    let apns = sound(answer.apns(now));
    assert_eq!(apns.kind() == OutcomeKind::Accepted, status == 200);
    if apns.kind() == OutcomeKind::TokenDead {
        assert!(status == 410 || (status == 400 && (escaped || says("BadDeviceToken"))));
    }
    if apns.kind() == OutcomeKind::CredentialBroken {
        assert_eq!(status, 403);
    }

    let fcm = sound(answer.fcm(now));
    assert_eq!(fcm.kind() == OutcomeKind::Accepted, status == 200);
    if fcm.kind() == OutcomeKind::TokenDead {
        let named = escaped
            || (status == 404 && says("UNREGISTERED"))
            || (status == 400 && (says("message.token") || says("registration token")));
        assert!(named, "{status}");
    }
    if fcm.kind() == OutcomeKind::CredentialBroken {
        assert!(matches!(status, 401 | 403), "{status}");
    }

    match answer.token(now) {
        Ok(lifetime) => {
            assert!((200..300).contains(&status));
            assert!(lifetime.as_secs() <= 3600);
        }
        Err(outcome) => {
            let outcome = sound(outcome);
            assert!(
                matches!(
                    outcome.kind(),
                    OutcomeKind::Retry | OutcomeKind::CredentialBroken
                ),
                "no device is to blame for a token endpoint"
            );
            if outcome.kind() == OutcomeKind::CredentialBroken {
                assert!((400..500).contains(&status));
            }
        }
    }

    let web = sound(answer.web_push(now));
    assert_ne!(
        web.kind(),
        OutcomeKind::CredentialBroken,
        "a hostile push service breaks no key"
    );
    assert_eq!(
        web.kind() == OutcomeKind::TokenDead,
        matches!(status, 404 | 410)
    );
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
