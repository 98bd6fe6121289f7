//! Who sends, as push services are told it (VAPID, RFC 8292).
//!
//! A signature costs more than all the rest of a request but encryption, so a token is made once per origin and used for
//! half of its life. Invariant: the cache is bounded, whatever endpoints clients invent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::clock::Timestamp;
use domain::jws::{Es256Key, SigningFailed};
use http::HeaderValue;
use serde::Serialize;

/// How long a token holds; RFC 8292 section 2 allows 24 hours.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// How long a token is used.
const TOKEN_USED: Duration = Duration::from_secs(6 * 3600);
/// For how many origins tokens are kept.
const ORIGINS_MAX: usize = 4096;

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub: &'a str,
}

struct Token {
    header: HeaderValue,
    made_at: Timestamp,
}

impl Token {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now >= self.made_at && now.since(self.made_at) < TOKEN_USED
    }
}

/// The tokens of one key.
pub(super) struct VapidTokens {
    key: Arc<Es256Key>,
    contact: Arc<str>,
    by_origin: Mutex<HashMap<Box<str>, Token>>,
}

impl VapidTokens {
    pub(super) fn new(key: Arc<Es256Key>, contact: Arc<str>) -> Self {
        Self {
            key,
            contact,
            by_origin: Mutex::default(),
        }
    }

    /// The `Authorization` header for a push service, marked as sensitive.
    pub(super) fn header(
        &self,
        origin: &str,
        now: Timestamp,
    ) -> Result<HeaderValue, SigningFailed> {
        let mut by_origin = self
            .by_origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = by_origin.get(origin)
            && token.is_fresh(now)
        {
            return Ok(token.header.clone());
        }
        let header = self.make(origin, now)?;
        if by_origin.len() >= ORIGINS_MAX {
            by_origin.retain(|_, token| token.is_fresh(now));
            if by_origin.len() >= ORIGINS_MAX {
                by_origin.clear();
            }
        }
        by_origin.insert(
            origin.into(),
            Token {
                header: header.clone(),
                made_at: now,
            },
        );
        Ok(header)
    }

    fn make(&self, origin: &str, now: Timestamp) -> Result<HeaderValue, SigningFailed> {
        let header = Header {
            typ: "JWT",
            alg: "ES256",
        };
        let claims = Claims {
            aud: origin,
            exp: now.after(TOKEN_LIFETIME).as_secs(),
            sub: &self.contact,
        };
        let token = self.key.sign(&header, &claims)?;
        let key = URL_SAFE_NO_PAD.encode(self.key.public_key());
        let mut header = HeaderValue::try_from(format!("vapid t={token}, k={key}"))
            .map_err(|_| SigningFailed)?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::jws::Unverified;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn tokens() -> VapidTokens {
        VapidTokens::new(
            Arc::new(Es256Key::generate().unwrap()),
            "mailto:ops@example.com".into(),
        )
    }

    #[test]
    fn a_token_names_its_push_service_its_end_and_a_contact() {
        let tokens = tokens();
        let header = tokens.header("https://push.example", NOW).unwrap();
        let text = header.to_str().unwrap();
        let (token, key) = text
            .strip_prefix("vapid t=")
            .unwrap()
            .split_once(", k=")
            .unwrap();
        let split = Unverified::split(token).unwrap();
        assert_eq!(split.header, br#"{"typ":"JWT","alg":"ES256"}"#);
        let claims =
            br#"{"aud":"https://push.example","exp":1043200,"sub":"mailto:ops@example.com"}"#;
        assert_eq!(split.claims, claims);
        assert_eq!(
            URL_SAFE_NO_PAD.decode(key).unwrap(),
            tokens.key.public_key()
        );
        assert!(!format!("{header:?}").contains(token));
    }

    #[test]
    fn a_token_is_made_once_per_origin_and_six_hours() {
        let tokens = tokens();
        let first = tokens.header("https://a.example", NOW).unwrap();
        assert_eq!(
            tokens
                .header("https://a.example", NOW.after(TOKEN_USED / 2))
                .unwrap(),
            first
        );
        assert_ne!(tokens.header("https://b.example", NOW).unwrap(), first);
        let later = NOW.after(TOKEN_USED);
        let second = tokens.header("https://a.example", later).unwrap();
        assert_ne!(second, first);
        // The clock is set back, by which the token would hold for too long.
        let set_back = tokens.header("https://a.example", NOW).unwrap();
        assert_ne!(set_back, second);
    }

    #[test]
    fn the_cache_is_bounded() {
        let tokens = tokens();
        for number in 0..ORIGINS_MAX + 10 {
            tokens
                .header(&format!("https://{number}.example"), NOW)
                .unwrap();
        }
        assert!(tokens.by_origin.lock().unwrap().len() <= ORIGINS_MAX);
    }
}
