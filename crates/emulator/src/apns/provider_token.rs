//! Apple's provider tokens: ES256 JWTs that an app's server signs.
//!
//! Verified with `jsonwebtoken`, which the product's own signer does not use. A signature is verified once per token
//! text; its age is looked at each time. Invariant: only verified tokens are remembered, at most [`TOKENS_MAX`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Timestamp;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;

use super::refusal::Refusal;
use crate::keys::ProviderKey;

/// How many verified tokens are remembered.
const TOKENS_MAX: usize = 1024;
/// Apple refuses tokens that are older.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// In strict mode, a team may renew its token only so often.
const UPDATE_INTERVAL_MIN: Duration = Duration::from_secs(20 * 60);
/// How far ahead the sender's clock may be.
const AHEAD_MAX: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

/// Checks provider tokens against the one key that this Apple knows.
pub(crate) struct ProviderTokens {
    key: ProviderKey,
    validation: Validation,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    issued: HashMap<Box<str>, Timestamp>,
    /// When the newest token came for the first time.
    updated_at: Option<Timestamp>,
}

impl ProviderTokens {
    pub(crate) fn new(key: ProviderKey) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        // Times are checked here, by this emulator's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            key,
            validation,
            seen: Mutex::default(),
        }
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key.key_id
    }

    pub(crate) fn team_id(&self) -> &str {
        &self.key.team_id
    }

    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
        strict: bool,
    ) -> Result<(), Refusal> {
        let missing = || Refusal::of("MissingProviderToken");
        let value = headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let value = value
            .to_str()
            .map_err(|_| Refusal::of("InvalidProviderToken"))?;
        let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let known = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .issued
            .get(token)
            .copied();
        let issued = match known {
            Some(issued) => issued,
            None => self.admit(token, now, strict)?,
        };
        if issued > now.after(AHEAD_MAX) {
            return Err(Refusal::of("InvalidProviderToken"));
        }
        if now.since(issued) > AGE_MAX {
            return Err(Refusal::of("ExpiredProviderToken"));
        }
        Ok(())
    }

    /// Verifies a token that has not come before.
    fn admit(&self, token: &str, now: Timestamp, strict: bool) -> Result<Timestamp, Refusal> {
        let invalid = |()| Refusal::of("InvalidProviderToken");
        let issued = self.verify(token).ok_or(()).map_err(invalid)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Another stream may have brought the same token meanwhile.
        if seen.issued.contains_key(token) {
            return Ok(issued);
        }
        if strict
            && seen
                .updated_at
                .is_some_and(|at| now.since(at) < UPDATE_INTERVAL_MIN)
        {
            return Err(Refusal::of("TooManyProviderTokenUpdates"));
        }
        if seen.issued.len() >= TOKENS_MAX {
            seen.issued.clear();
        }
        seen.issued.insert(token.into(), issued);
        seen.updated_at = Some(now);
        Ok(issued)
    }

    fn verify(&self, token: &str) -> Option<Timestamp> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.kid.as_deref() != Some(&self.key.key_id) {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key.public, &self.validation)
            .ok()?
            .claims;
        (claims.iss == self.key.team_id).then_some(Timestamp::from_secs(claims.iat))
    }
}
