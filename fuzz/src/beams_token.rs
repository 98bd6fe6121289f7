//! Beams tokens, against another JWT library: whatever header and claims are signed with whatever key, only what that library
//! takes as HS256 under a key of the instance is believed, and then for the user that it reads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::beams_token::{BEAMS_TOKEN_LENGTH_MAX, BeamsTokenError, verify};
use domain::clock::Timestamp;
use domain::instance::{InstanceId, SecretKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use crate::json::Json;
use crate::verdict::Verdict;

const INSTANCE: &str = "8f9a6e22-2483-49aa-8552-125f1a4c5781";
const KEYS: [&str; 2] = ["THEKEY", "ANOTHERKEY"];
const STRANGE_KEY: &str = "NOTAKEY";
const NOW_SECS: i64 = 1_700_000_000;
const PUBLIC_URL: &str = "https://push.example";

/// Checks a byte that says what to do, and a token or the header and the claims (with a NUL between) of one to be signed.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let Ok(rest) = std::str::from_utf8(rest) else {
        return Verdict::UNREAD;
    };
    if mode & 7 == 0 {
        return believe(rest, false);
    }
    let (header, claims) = rest
        .split_once('\0')
        .unwrap_or((r#"{"alg":"HS256"}"#, rest));
    let strange = mode & 7 == 1;
    let key = if strange {
        STRANGE_KEY
    } else {
        KEYS[usize::from(mode >> 3 & 1)]
    };
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let encoding = EncodingKey::from_secret(key.as_bytes());
    let Ok(signature) = jsonwebtoken::crypto::sign(signed.as_bytes(), &encoding, Algorithm::HS256)
    else {
        return Verdict::UNREAD;
    };
    let mut token = format!("{signed}.{signature}");
    if mode & 7 == 2 {
        // A damaged signature, still of its length.
        let last = token.pop().unwrap_or('A');
        token.push(if last == 'A' { 'E' } else { 'A' });
    }
    believe(&token, strange || mode & 7 == 2)
}

fn believe(token: &str, must_not: bool) -> Verdict {
    let instance = InstanceId::parse(INSTANCE).expect("it is one");
    let keys: Vec<SecretKey> = KEYS
        .iter()
        .map(|key| SecretKey::parse(*key).expect("it is one"))
        .collect();
    let now = Timestamp::from_secs(NOW_SECS);
    let verdict = verify(token, &instance, &keys, PUBLIC_URL, now);
    let other = InstanceId::parse("8f9a6e22-2483-49aa-8552-125f1a4c5782").expect("it is one");
    match verdict {
        Ok(user) => {
            assert!(!must_not, "a signature by no key of the instance");
            assert!(token.len() <= BEAMS_TOKEN_LENGTH_MAX);
            let claims = other_library(token).expect("another library believes it too");
            let claim = |name| claims.field(name).expect("it is there");
            assert_eq!(claim("sub").text(), Some(user.as_str()));
            let Json::Number(expires) = claim("exp") else {
                panic!("a number")
            };
            let expires: f64 = expires.parse().expect("a number");
            assert!(expires + 60.0 > NOW_SECS as f64);
            let iss = claim("iss").text().expect("a text");
            // Not this instance's, so at the other one only the bare public URL counts.
            let elsewhere = verify(token, &other, &keys, PUBLIC_URL, now);
            assert_eq!(elsewhere.is_ok(), iss.trim_end_matches('/') == PUBLIC_URL);
            assert!(verify(token, &instance, &keys[..0], PUBLIC_URL, now).is_err());
            Verdict::TAKEN
        }
        Err(error) => {
            assert!(error != BeamsTokenError::BadSignature || other_library(token).is_none());
            Verdict::of(format!("refused: {error:?}"))
        }
    }
}

/// The claims of a token whose signature the other library takes under one of the keys, read by a reader of our own. What else
/// a header may hold is looked at by neither: whoever can sign is the app's own backend.
fn other_library(token: &str) -> Option<Json> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let is_signed = KEYS.iter().any(|key| {
        let key = DecodingKey::from_secret(key.as_bytes());
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, Algorithm::HS256)
            .unwrap_or(false)
    });
    let read = |part: &str| Json::read(&URL_SAFE_NO_PAD.decode(part).ok()?);
    let says_so = read(header)?.field("alg").and_then(Json::text) == Some("HS256");
    (is_signed && says_so).then(|| read(claims)).flatten()
}
