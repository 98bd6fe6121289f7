//! A browser's push subscription: read from its JSON, checked, normalised.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::InvalidDevice;

/// A browser's push subscription (Push API, `PushSubscription`; RFC 8291 section 2 for the keys).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebPushSubscription {
    endpoint: Box<str>,
    /// How much of the endpoint is its origin, which is asked for several times in a delivery.
    origin_length: usize,
    keys: [u8; Self::KEYS_LENGTH],
}

/// The JSON that a browser makes of its subscription.
#[derive(Deserialize)]
struct SubscriptionJson {
    endpoint: String,
    keys: SubscriptionKeysJson,
}

#[derive(Deserialize)]
struct SubscriptionKeysJson {
    p256dh: String,
    auth: String,
}

impl WebPushSubscription {
    /// The length of an uncompressed P-256 point.
    pub const P256DH_LENGTH: usize = 65;
    /// The length of the authentication secret.
    pub const AUTH_LENGTH: usize = 16;
    /// Both together.
    pub const KEYS_LENGTH: usize = Self::P256DH_LENGTH + Self::AUTH_LENGTH;

    /// Reads a browser's JSON. The endpoint must be https, without user info; the point must lie on the curve.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidDevice> {
        let bad = |why: &str| InvalidDevice::WebToken(why.into());
        let read: SubscriptionJson = serde_json::from_slice(json)
            .map_err(|_| bad("it needs `endpoint`, `keys.p256dh` and `keys.auth`"))?;
        let decode = |value: &str| URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).ok();
        let mut keys = [0; Self::KEYS_LENGTH];
        let point = decode(&read.keys.p256dh)
            .filter(|point| is_p256_point(point))
            .ok_or_else(|| bad("`keys.p256dh` is no uncompressed P-256 point in base64url"))?;
        let secret = decode(&read.keys.auth)
            .filter(|secret| secret.len() == Self::AUTH_LENGTH)
            .ok_or_else(|| bad("`keys.auth` is no 16 bytes in base64url"))?;
        keys[..Self::P256DH_LENGTH].copy_from_slice(&point);
        keys[Self::P256DH_LENGTH..].copy_from_slice(&secret);

        let endpoint = url::Url::parse(&read.endpoint).map_err(|_| bad("`endpoint` is no URL"))?;
        if endpoint.scheme() != "https" || endpoint.host_str().is_none_or(str::is_empty) {
            return Err(bad("`endpoint` is no https URL"));
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(bad("`endpoint` has user info"));
        }
        let endpoint = endpoint.as_str().split('#').next().unwrap_or_default();
        Ok(Self::from_parts(endpoint, keys))
    }

    /// The JSON that a browser makes of its subscription, and [`WebPushSubscription::from_json`] reads.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "endpoint": self.endpoint,
            "keys": {
                "p256dh": URL_SAFE_NO_PAD.encode(self.p256dh()),
                "auth": URL_SAFE_NO_PAD.encode(self.auth()),
            },
        })
        .to_string()
    }

    /// What a store kept.
    pub(super) fn from_parts(endpoint: &str, keys: [u8; Self::KEYS_LENGTH]) -> Self {
        let after_scheme = "https://".len();
        let rest = endpoint.get(after_scheme..).unwrap_or_default();
        let host_length = rest.find(['/', '?']).unwrap_or(rest.len());
        Self {
            origin_length: (after_scheme + host_length).min(endpoint.len()),
            endpoint: endpoint.into(),
            keys,
        }
    }

    /// The point and the secret, one behind the other.
    pub(super) fn keys(&self) -> &[u8; Self::KEYS_LENGTH] {
        &self.keys
    }

    /// The URL to send to, normalised: scheme and host in lower case, no fragment, no default port.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Scheme, host and port of the endpoint: the audience of a VAPID token (RFC 8292 section 2).
    pub fn origin(&self) -> &str {
        &self.endpoint[..self.origin_length]
    }

    /// The browser's public key, an uncompressed P-256 point.
    pub fn p256dh(&self) -> &[u8] {
        &self.keys[..Self::P256DH_LENGTH]
    }

    /// The authentication secret.
    pub fn auth(&self) -> &[u8] {
        &self.keys[Self::P256DH_LENGTH..]
    }
}

impl fmt::Debug for WebPushSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebPushSubscription({}/…)", self.origin())
    }
}

fn is_p256_point(bytes: &[u8]) -> bool {
    bytes.len() == WebPushSubscription::P256DH_LENGTH
        && bytes[0] == 4
        && aws_lc_rs::signature::ParsedPublicKey::new(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
            bytes,
        )
        .is_ok()
}
