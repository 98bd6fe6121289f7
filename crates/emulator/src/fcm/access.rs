//! Google's token endpoint (RFC 7523): a signed assertion of a service account in, an access token out.
//!
//! Verified with `jsonwebtoken`, which the product's own signer does not use. Invariant: an access token is accepted
//! until its hour is over or it was revoked, and at most [`ACCESS_TOKENS_MAX`] are remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Timestamp;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use uuid::Uuid;

use super::refusal::Refusal;
use crate::keys::ServiceAccount;

/// How many access tokens are remembered.
const ACCESS_TOKENS_MAX: usize = 10_000;
/// How long an access token is good for.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How long an assertion may be good for.
const ASSERTION_SECONDS_MAX: i64 = 3600;
/// How far the sender's clock may be off.
const CLOCK_SECONDS_MAX: i64 = 300;
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Either of them lets an account send messages.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];

/// Status, OAuth error, description.
type Denial = (u16, String, String);

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    #[serde(default)]
    scope: String,
    iat: i64,
    exp: i64,
}

/// The access tokens of the one account that this Google knows.
pub(crate) struct AccessTokens {
    account: ServiceAccount,
    validation: Validation,
    valid_until: Mutex<HashMap<Box<str>, Timestamp>>,
}

impl AccessTokens {
    pub(crate) fn new(account: ServiceAccount) -> Self {
        let mut validation = Validation::new(Algorithm::RS256);
        // Times and audience are checked here, by this emulator's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            account,
            validation,
            valid_until: Mutex::default(),
        }
    }

    pub(crate) fn project_id(&self) -> &str {
        &self.account.project_id
    }

    /// Makes all access tokens invalid at once, as when an account's keys are removed.
    pub(crate) fn revoke_all(&self) {
        self.valid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(super) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = token
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or_else(Refusal::unauthenticated)?;
        let until = self
            .valid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .copied();
        if until.is_some_and(|until| now < until) {
            Ok(())
        } else {
            Err(Refusal::unauthenticated())
        }
    }

    /// Answers a request for an access token.
    pub(super) fn grant(
        &self,
        method: &Method,
        body: &[u8],
        now: Timestamp,
    ) -> Result<String, Denial> {
        if method != Method::POST {
            return Err((405, "invalid_request".to_owned(), "Use POST.".to_owned()));
        }
        let mut grant_type = None;
        let mut assertion = None;
        for (name, value) in url::form_urlencoded::parse(body) {
            match &*name {
                "grant_type" => grant_type = Some(value),
                "assertion" => assertion = Some(value),
                _ => {}
            }
        }
        if grant_type.as_deref() != Some(GRANT_TYPE) {
            let given = grant_type.as_deref().unwrap_or("");
            return Err((
                400,
                "unsupported_grant_type".to_owned(),
                format!("Invalid grant_type: {given}"),
            ));
        }
        let denied = |problem: &str| (400, "invalid_grant".to_owned(), problem.to_owned());
        let assertion = assertion.ok_or_else(|| {
            (
                400,
                "invalid_request".to_owned(),
                "Missing assertion.".to_owned(),
            )
        })?;
        let claims = self.verify(&assertion).map_err(denied)?;
        if !claims.scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err((
                400,
                "invalid_scope".to_owned(),
                "Invalid OAuth scope or ID token audience provided.".to_owned(),
            ));
        }
        let now_s = now.as_secs();
        let timely = claims.iat <= now_s + CLOCK_SECONDS_MAX
            && claims.exp > now_s
            && claims.exp > claims.iat
            && claims.exp.saturating_sub(claims.iat) <= ASSERTION_SECONDS_MAX;
        if !timely {
            return Err(denied(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
            ));
        }
        let token = format!(
            "ya29.{}{}",
            Uuid::new_v4().simple(),
            Uuid::new_v4().simple()
        );
        let mut valid_until = self
            .valid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if valid_until.len() >= ACCESS_TOKENS_MAX {
            valid_until.retain(|_, until| now < *until);
            if valid_until.len() >= ACCESS_TOKENS_MAX {
                valid_until.clear();
            }
        }
        valid_until.insert(token.as_str().into(), now.after(LIFETIME));
        let expires_in = LIFETIME.as_secs() - 1;
        Ok(format!(
            r#"{{"access_token":"{token}","expires_in":{expires_in},"token_type":"Bearer"}}"#
        ))
    }

    fn verify(&self, assertion: &str) -> Result<Claims, &'static str> {
        let header = jsonwebtoken::decode_header(assertion).map_err(|_| "Bad JWT.")?;
        if header
            .kid
            .is_some_and(|kid| kid != self.account.private_key_id)
        {
            return Err("Invalid signature for token: no such key.");
        }
        let claims =
            jsonwebtoken::decode::<Claims>(assertion, &self.account.public, &self.validation)
                .map_err(|_| "Invalid JWT Signature.")?
                .claims;
        if claims.iss != self.account.client_email {
            return Err("Invalid grant: account not found");
        }
        if claims.aud != self.account.token_uri {
            return Err("Invalid JWT: Failed audience check. The right audience is the token_uri.");
        }
        Ok(claims)
    }
}
