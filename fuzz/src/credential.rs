//! Files that let an instance in at a gateway: Apple's key and Google's service account. Whatever is wrong with one is told without
//! any of the key; what is taken is kept whole and shows no key either.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::credential::{ApnsCredential, Credential, FcmCredential};
use domain::device::Platform;

use crate::json::Json;
use crate::verdict::Verdict;

/// So much of a key is more than chance, and none of our own words is so long.
const TELLING_LENGTH: usize = 12;
const REFUSAL_LENGTH_MAX: usize = 320;

/// Two keys that are nobody's, so that an input need not have one to be taken: where it has `<P256>` or `<RSA>`, they stand.
static KEYS: LazyLock<[(&str, String); 2]> = LazyLock::new(|| {
    [
        (
            "<P256>",
            STANDARD.encode(include_bytes!("../keys/p256.der")),
        ),
        ("<RSA>", STANDARD.encode(include_bytes!("../keys/rsa.der"))),
    ]
});
/// So that no input grows beyond what is fuzzed otherwise.
const PLACES_MAX: usize = 4;

/// Checks a byte that says what the rest is: a service account's file; Apple's file; two lines of ids and such a file; or what a
/// store kept.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return Verdict::UNREAD;
    };
    let mut text = text.to_owned();
    for (place, key) in &*KEYS {
        text = text.replacen(place, key, PLACES_MAX);
    }
    let text = text.as_str();
    let found = match mode & 3 {
        0 => FcmCredential::parse(text).map(Credential::Fcm),
        1 => ApnsCredential::parse("ABC1234567", "TEAM123456", text).map(Credential::Apns),
        2 => {
            let mut parts = text.splitn(3, '\n');
            let mut next = || parts.next().unwrap_or_default();
            let (key_id, team_id, pem) = (next(), next(), next());
            ApnsCredential::parse(key_id, team_id, pem).map(Credential::Apns)
        }
        _ => {
            let platform = Platform::ALL[usize::from(mode >> 2) % Platform::ALL.len()];
            Credential::from_stored(platform, text.as_bytes())
        }
    };
    match found {
        Ok(credential) => {
            taken(&credential, text);
            Verdict::TAKEN
        }
        Err(error) => {
            let told = error.to_string();
            assert!((1..=REFUSAL_LENGTH_MAX).contains(&told.len()), "{told}");
            assert!(!told.contains(char::is_control), "one line: {told:?}");
            hides(&told, text);
            Verdict::of(format!("refused: {told}"))
        }
    }
}

fn taken(credential: &Credential, text: &str) {
    let stored = credential.to_stored();
    let again = Credential::from_stored(credential.platform(), &stored);
    let again = again.expect("what was stored reads back");
    assert_eq!(again.summary(), credential.summary());
    match (credential, &again) {
        (Credential::Apns(one), Credential::Apns(other)) => {
            assert_eq!(one.key().public_key(), other.key().public_key());
            hides(&format!("{credential:?} {}", credential.summary()), text);
        }
        (Credential::Fcm(one), Credential::Fcm(other)) => {
            assert_eq!(one.key().public_key(), other.key().public_key());
            assert!(one.token_uri().starts_with("https://"));
            if let Some(read) = Json::read(text.as_bytes()) {
                assert!(read.object().is_some(), "no object");
                let field = |name| read.field(name).and_then(Json::text);
                assert_eq!(field("project_id"), Some(one.project_id()));
                assert_eq!(field("client_email"), Some(one.client_email()));
                assert_eq!(field("private_key_id"), Some(one.private_key_id()));
                let key = field("private_key").expect("a key");
                hides(
                    &format!("{credential:?}").replace(one.project_id(), ""),
                    key,
                );
            }
        }
        _ => panic!("of another platform"),
    }
}

/// No piece of what may be a key is shown.
fn hides(shown: &str, text: &str) {
    let is_of_a_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    for run in text.split(|c| !is_of_a_key(c)) {
        for piece in run.as_bytes().windows(TELLING_LENGTH) {
            let piece = std::str::from_utf8(piece).expect("ASCII");
            // Words, such as the kind of another file, are no key.
            let is_word = piece.bytes().all(|byte| byte.is_ascii_lowercase());
            assert!(is_word || !shown.contains(piece), "{shown}");
        }
    }
}
