//! Beams tokens: how an app's backend tells that a device belongs to a user.
//!
//! A Beams token is a JWT (RFC 7519), signed HS256 with the bytes of a secret key's string. Nothing of its header is obeyed:
//! the algorithm is fixed, and there is no way for a token to name its key.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Timestamp;
use crate::instance::{InstanceId, SecretKey};
use crate::jws::{SigningFailed, Unverified, sign_hs256};
use crate::user::{InvalidUserId, UserId};

/// How long a token lives that an SDK signs. Beams: all server SDKs.
pub const BEAMS_TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How far the clocks of an app's backend and of this server may differ.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(60);
/// The longest token, in bytes. One for the longest user id has under 2 KiB.
pub const BEAMS_TOKEN_LENGTH_MAX: usize = 8 * 1024;

/// Why a Beams token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeamsTokenError {
    /// It is no compact JWS, is too long, or its parts are no JSON objects.
    #[error("the Beams token is no JSON Web Token")]
    Malformed,
    /// Its algorithm is not HS256.
    #[error("the Beams token must be signed with HS256")]
    WrongAlgorithm,
    /// No active secret key of the instance made its signature.
    #[error("the Beams token has an invalid signature")]
    BadSignature,
    /// A claim is missing or has the wrong type, or stands there twice.
    #[error("the Beams token needs `sub` and `iss` as strings and `exp` as a number, once each")]
    BadClaims,
    /// The user id breaks its rules.
    #[error("the `sub` of the Beams token: {0}")]
    BadUser(#[from] InvalidUserId),
    /// It was issued for another instance.
    #[error("the `iss` of the Beams token is not this instance")]
    WrongIssuer,
    /// It is over.
    #[error("the Beams token has expired")]
    Expired,
}

/// The issuer that the official SDKs write, whatever host they talk to.
pub fn beams_issuer(instance: &InstanceId) -> String {
    format!("https://{instance}.pushnotifications.pusher.com")
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    // RFC 7515 section 4.1.11: what we do not understand must not be ignored.
    #[serde(default, rename = "crit", deserialize_with = "whatever")]
    is_critical: bool,
}

/// That a field is there, whatever stands in it.
fn whatever<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Reads an object. What is read into fields would be taken from an array, too.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let begins = json.trim_ascii_start().starts_with(b"{");
    begins.then(|| serde_json::from_slice(json).ok())?
}

#[derive(Deserialize)]
struct ClaimsRead {
    sub: String,
    iss: String,
    exp: serde_json::Number,
    #[serde(default)]
    nbf: Option<serde_json::Number>,
}

#[derive(Serialize)]
struct ClaimsWritten<'a> {
    sub: &'a str,
    exp: i64,
    iss: String,
}

/// Signs a token for `user`, as the official server SDKs do.
pub fn sign(
    instance: &InstanceId,
    key: &SecretKey,
    user: &UserId,
    expires_at: Timestamp,
) -> Result<String, SigningFailed> {
    let header = serde_json::json!({"alg": "HS256", "typ": "JWT"});
    let claims = ClaimsWritten {
        sub: user.as_str(),
        exp: expires_at.as_secs(),
        iss: beams_issuer(instance),
    };
    sign_hs256(key.reveal().as_bytes(), &header, &claims)
}

/// Checks a token that a device presents to `instance` and says whose device it is.
///
/// `keys` are the instance's active secret keys. `public_url` is what this server is called from outside; a token may name
/// it as its issuer instead of Beams' host, bare or as `<public_url>/instances/<id>`.
pub fn verify<'k>(
    token: &str,
    instance: &InstanceId,
    keys: impl IntoIterator<Item = &'k SecretKey>,
    public_url: &str,
    now: Timestamp,
) -> Result<UserId, BeamsTokenError> {
    if token.len() > BEAMS_TOKEN_LENGTH_MAX {
        return Err(BeamsTokenError::Malformed);
    }
    let split = Unverified::split(token).ok_or(BeamsTokenError::Malformed)?;
    let header: Header = object(&split.header).ok_or(BeamsTokenError::Malformed)?;
    if header.alg != "HS256" || header.is_critical {
        return Err(BeamsTokenError::WrongAlgorithm);
    }
    // Every key is tried whatever the first ones say, so that time does not tell which one it was.
    let signed = keys.into_iter().fold(false, |found, key| {
        split.is_signed_hs256(key.reveal().as_bytes()) | found
    });
    if !signed {
        return Err(BeamsTokenError::BadSignature);
    }
    let claims: ClaimsRead = object(&split.claims).ok_or(BeamsTokenError::BadClaims)?;
    let secs = |number: &serde_json::Number| {
        number
            .as_f64()
            .filter(|n| n.is_finite())
            .ok_or(BeamsTokenError::BadClaims)
    };
    let (expires, not_before) = (
        secs(&claims.exp)?,
        claims.nbf.as_ref().map(secs).transpose()?,
    );
    if !is_issuer(&claims.iss, instance, public_url) {
        return Err(BeamsTokenError::WrongIssuer);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of this age of the world are exact in 53 bits"
    )]
    let (now, leeway) = (now.as_secs() as f64, CLOCK_LEEWAY.as_secs() as f64);
    if expires + leeway <= now || not_before.is_some_and(|from| from - leeway > now) {
        return Err(BeamsTokenError::Expired);
    }
    Ok(UserId::parse(claims.sub)?)
}

fn is_issuer(iss: &str, instance: &InstanceId, public_url: &str) -> bool {
    let own = public_url.trim_end_matches('/');
    let iss = iss.trim_end_matches('/');
    iss.eq_ignore_ascii_case(&beams_issuer(instance))
        || iss == own
        || iss
            .strip_prefix(own)
            .and_then(|rest| rest.strip_prefix("/instances/"))
            .is_some_and(|id| InstanceId::parse(id).as_ref() == Ok(instance))
}
