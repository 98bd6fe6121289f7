//! Who sends: RFC 8292.
//!
//! Verified with `jsonwebtoken`, which the product's own signer does not use. A signature is verified once per header
//! text; its age is looked at each time. Invariant: only verified headers are remembered, at most [`HEADERS_MAX`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::clock::Timestamp;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::encryption::POINT_BYTES;
use super::refusal::Refusal;

/// How many verified headers are remembered.
const HEADERS_MAX: usize = 4096;
/// RFC 8292 section 2: `exp` must not be further ahead.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: i64,
    sub: Option<String>,
}

#[derive(Clone)]
struct Verified {
    key: Vec<u8>,
    expires: Timestamp,
}

/// Checks `Authorization: vapid`.
#[derive(Default)]
pub(super) struct Vapid {
    verified: Mutex<HashMap<Box<str>, Verified>>,
}

impl Vapid {
    /// `restricted_to` is the key that the subscription was made for; without one the header may be absent.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        origins: &[String],
        restricted_to: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return match restricted_to {
                Some(_) => Err(Refusal::of(401, "missing-vapid")),
                None => Ok(()),
            };
        };
        let header = header
            .to_str()
            .map_err(|_| Refusal::of(401, "bad-authorization"))?;
        let known = self
            .verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(header)
            .cloned();
        let verified = match known {
            Some(verified) => verified,
            None => {
                let verified = verify(header, origins)?;
                let mut all = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
                if all.len() >= HEADERS_MAX {
                    all.clear();
                }
                all.insert(header.into(), verified.clone());
                verified
            }
        };
        if verified.expires <= now {
            return Err(Refusal::of(403, "expired-vapid"));
        }
        if verified.expires > now.after(AHEAD_MAX) {
            return Err(Refusal::of(403, "vapid-valid-too-long"));
        }
        if restricted_to.is_some_and(|key| key != verified.key) {
            return Err(Refusal::of(403, "vapid-key-mismatch"));
        }
        Ok(())
    }
}

fn verify(header: &str, origins: &[String]) -> Result<Verified, Refusal> {
    let (token, key) = parse(header).ok_or_else(|| Refusal::of(401, "bad-authorization"))?;
    let bad = || Refusal::of(403, "bad-vapid");
    let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| bad())?;
    if key.len() != POINT_BYTES || key[0] != 4 {
        return Err(bad());
    }
    let mut validation = Validation::new(Algorithm::ES256);
    // Times and audience are checked here, by this emulator's clock.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ec_der(&key), &validation);
    let claims = claims
        .map_err(|_| Refusal::of(403, "bad-vapid-signature"))?
        .claims;
    if !origins.contains(&claims.aud) {
        return Err(Refusal::of(403, "vapid-audience-mismatch"));
    }
    let contact = claims.sub.as_deref().unwrap_or("");
    let reachable = ["mailto:", "https://"].iter().any(|scheme| {
        contact
            .strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    if !reachable {
        return Err(Refusal::of(403, "bad-vapid-contact"));
    }
    Ok(Verified {
        key,
        expires: Timestamp::from_secs(claims.exp),
    })
}

/// `vapid t=JWT, k=KEY`, in either order (RFC 8292 section 3).
fn parse(header: &str) -> Option<(&str, &str)> {
    let (scheme, parameters) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("vapid") {
        return None;
    }
    let (mut token, mut key) = (None, None);
    for parameter in parameters.split(',') {
        let (name, value) = parameter.trim().split_once('=')?;
        match name.trim() {
            "t" => token = Some(value.trim()),
            "k" => key = Some(value.trim()),
            _ => {}
        }
    }
    Some((token?, key?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_in_any_order_and_spacing() {
        for good in [
            "vapid t=a.b.c, k=K",
            "vapid k=K,t=a.b.c",
            "VAPID  t=a.b.c ,  k=K, x=1",
        ] {
            assert_eq!(parse(good), Some(("a.b.c", "K")), "{good}");
        }
        for bad in [
            "",
            "vapid",
            "bearer t=a, k=b",
            "vapid t=a",
            "vapid k=b",
            "vapid t, k",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
