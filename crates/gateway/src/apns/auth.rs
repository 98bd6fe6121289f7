//! Provider tokens (ES256). Apple: Establishing a token-based connection to APNs.
//!
//! Apple wants a token to be 20 to 60 minutes old when the next one comes, and counts per team. Invariant: whatever the
//! concurrency, a credential has one token at a time, and no two are made within 20 minutes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::credential::ApnsCredential;
use domain::jws::SigningFailed;
use http::HeaderValue;
use serde::Serialize;

/// When a token is replaced; Apple refuses it after an hour.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(50 * 60);
/// The least age at which a token may be replaced. A younger one earns `TooManyProviderTokenUpdates`.
const TOKEN_AGE_MIN: Duration = Duration::from_secs(20 * 60);

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

/// A token as it is sent.
#[derive(Clone)]
pub(super) struct ProviderToken {
    /// The `authorization` header; marked as sensitive, so it is neither shown nor put into a compression table.
    pub(super) header: HeaderValue,
    issued_at: Timestamp,
}

/// The tokens of one credential.
pub(super) struct ProviderTokens {
    credential: Arc<ApnsCredential>,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<ProviderToken>>,
}

impl ProviderTokens {
    pub(super) fn new(credential: Arc<ApnsCredential>, clock: Arc<dyn Clock>) -> Self {
        Self {
            credential,
            clock,
            token: Mutex::default(),
        }
    }

    /// The token to use now.
    pub(super) fn current(&self) -> Result<ProviderToken, SigningFailed> {
        self.token_unless(|token, now| token.is_older_than(TOKEN_AGE_MAX, now))
    }

    /// The token to use after APNs called `expired` too old; `None` where it is too young to be replaced.
    pub(super) fn renew(
        &self,
        expired: &ProviderToken,
    ) -> Result<Option<ProviderToken>, SigningFailed> {
        let token = self.token_unless(|token, now| {
            token.issued_at == expired.issued_at && token.is_older_than(TOKEN_AGE_MIN, now)
        })?;
        Ok((token.issued_at != expired.issued_at).then_some(token))
    }

    /// The token, made anew where there is none or `replace` says so.
    fn token_unless(
        &self,
        replace: impl Fn(&ProviderToken, Timestamp) -> bool,
    ) -> Result<ProviderToken, SigningFailed> {
        let now = self.clock.now();
        let mut slot = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*slot
            && !replace(token, now)
        {
            return Ok(token.clone());
        }
        let token = self.mint(now)?;
        *slot = Some(token.clone());
        Ok(token)
    }

    fn mint(&self, now: Timestamp) -> Result<ProviderToken, SigningFailed> {
        let header = Header {
            alg: "ES256",
            kid: self.credential.key_id(),
        };
        let claims = Claims {
            iss: self.credential.team_id(),
            iat: now.as_secs(),
        };
        let token = self.credential.key().sign(&header, &claims)?;
        let mut header =
            HeaderValue::try_from(format!("bearer {token}")).map_err(|_| SigningFailed)?;
        header.set_sensitive(true);
        Ok(ProviderToken {
            header,
            issued_at: now,
        })
    }
}

impl ProviderToken {
    /// A token from the future was made before the clock was set back, and APNs refuses it.
    fn is_older_than(&self, age: Duration, now: Timestamp) -> bool {
        now.since(self.issued_at) >= age || now < self.issued_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use domain::clock::ManualClock;
    use domain::jws::Es256Key;

    fn tokens() -> (Arc<ManualClock>, ProviderTokens) {
        let der = Es256Key::generate().unwrap().pkcs8().to_vec();
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let credential = ApnsCredential::parse("ABC1234567", "TEAM123456", &pem).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        (
            Arc::clone(&clock),
            ProviderTokens::new(Arc::new(credential), clock),
        )
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_token_says_who_and_when() {
        let (_, tokens) = tokens();
        let token = tokens.current().unwrap();
        let text = token
            .header
            .to_str()
            .unwrap()
            .strip_prefix("bearer ")
            .unwrap();
        let split = domain::jws::Unverified::split(text).unwrap();
        assert_eq!(split.header, br#"{"alg":"ES256","kid":"ABC1234567"}"#);
        assert_eq!(split.claims, br#"{"iss":"TEAM123456","iat":1000000}"#);
        assert!(!format!("{:?}", token.header).contains(text));
    }

    #[test]
    fn a_token_is_used_for_fifty_minutes() {
        let (clock, tokens) = tokens();
        let first = tokens.current().unwrap();
        clock.advance(49 * MINUTE);
        assert_eq!(tokens.current().unwrap().header, first.header);
        clock.advance(MINUTE);
        assert_ne!(tokens.current().unwrap().header, first.header);
    }

    #[test]
    fn an_expired_token_is_renewed_once_and_not_within_twenty_minutes() {
        let (clock, tokens) = tokens();
        let first = tokens.current().unwrap();
        clock.advance(19 * MINUTE);
        assert!(tokens.renew(&first).unwrap().is_none());
        clock.advance(MINUTE);
        let second = tokens.renew(&first).unwrap().unwrap();
        assert_ne!(second.header, first.header);
        // Others who were refused with the first token get the one that was made meanwhile.
        assert_eq!(tokens.renew(&first).unwrap().unwrap().header, second.header);
        assert!(tokens.renew(&second).unwrap().is_none());
    }

    #[test]
    fn a_token_from_the_future_is_replaced() {
        let (clock, tokens) = tokens();
        let first = tokens.current().unwrap();
        clock.set(Timestamp::from_secs(900_000));
        assert_ne!(tokens.current().unwrap().header, first.header);
    }
}
