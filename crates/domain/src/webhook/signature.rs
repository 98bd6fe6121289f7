//! How a receiver can tell that a request is ours.
//!
//! Two ways, since both want the header `webhook-signature`: Beams' own, and that of the Standard Webhooks specification
//! (standardwebhooks.com, version 1.0). Neither is secret from whoever knows the webhook's secret.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::clock::Timestamp;

/// The longest secret, in bytes.
pub const SECRET_LENGTH_MAX: usize = 256;
/// How long a key of the Standard Webhooks specification is, in bytes: its section on symmetric signatures.
const STANDARD_KEY_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// What such a key is written with in front.
const STANDARD_PREFIX: &str = "whsec_";

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Webhook-Signature`: the hex HMAC-SHA1 of the body. Beams: webhooks, verification.
    Beams,
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`: `v1,` and the base64 HMAC-SHA256 of id, time and body.
    Standard,
}

impl Scheme {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Beams, Self::Standard];

    /// The word on the command line, in SQL and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beams => "beams",
            Self::Standard => "standard",
        }
    }

    /// The scheme with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }
}

/// What a webhook's requests are signed with. `Debug` does not show it, and its memory is wiped when it is dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct WebhookSecret {
    #[zeroize(skip)]
    scheme: Scheme,
    text: Zeroizing<String>,
    /// What the text stands for.
    key: Zeroizing<Vec<u8>>,
}

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Empty, too long, or with what no terminal shows.
    #[error("a webhook's secret has 1 to {SECRET_LENGTH_MAX} bytes and no control characters")]
    Text,
    /// The Standard Webhooks specification wants a key.
    #[error(
        "a secret for Standard Webhooks is base64 of 24 to 64 bytes, with or without whsec_ in front"
    )]
    Standard,
}

impl WebhookSecret {
    /// Checks a secret for a scheme.
    pub fn parse(scheme: Scheme, text: &str) -> Result<Self, InvalidSecret> {
        if text.is_empty() || text.len() > SECRET_LENGTH_MAX || text.chars().any(char::is_control) {
            return Err(InvalidSecret::Text);
        }
        let key = match scheme {
            Scheme::Beams => text.as_bytes().to_vec(),
            Scheme::Standard => {
                let bare = text.strip_prefix(STANDARD_PREFIX).unwrap_or(text);
                let key = STANDARD.decode(bare).map_err(|_| InvalidSecret::Standard)?;
                if !STANDARD_KEY_LENGTH.contains(&key.len()) {
                    return Err(InvalidSecret::Standard);
                }
                key
            }
        };
        Ok(Self {
            scheme,
            text: Zeroizing::new(text.into()),
            key: Zeroizing::new(key),
        })
    }

    /// A new random one.
    pub fn random(scheme: Scheme) -> Self {
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let text = match scheme {
            Scheme::Beams => key.iter().map(|byte| format!("{byte:02x}")).collect(),
            Scheme::Standard => format!("{STANDARD_PREFIX}{}", STANDARD.encode(key.as_slice())),
        };
        let key = match scheme {
            Scheme::Beams => String::as_bytes(&text).to_vec(),
            Scheme::Standard => key.to_vec(),
        };
        Self {
            scheme,
            text: Zeroizing::new(text),
            key: Zeroizing::new(key),
        }
    }

    /// Which scheme it is for.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The secret itself, to be sealed, or shown once to whoever made it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Beams' signature of a body: lower-case hex.
    pub fn sign_beams(&self, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        let tag = hmac::sign(&key, body);
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The signature that the Standard Webhooks specification asks for: of the message's id, the time and the body.
    pub fn sign_standard(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let mut signed = format!("{id}.{}.", at.as_secs()).into_bytes();
        signed.extend_from_slice(body);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecret({}, …)", self.scheme.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beams_signature_is_the_known_hmac() {
        // RFC 2202 section 3, test case 2.
        let secret = WebhookSecret::parse(Scheme::Beams, "Jefe").unwrap();
        assert_eq!(
            secret.sign_beams(b"what do ya want for nothing?"),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
    }

    #[test]
    fn the_standard_signature_is_that_of_the_specification() {
        // The example of the specification's reference libraries.
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = WebhookSecret::parse(Scheme::Standard, text).unwrap();
        let at = Timestamp::from_secs(1_614_265_330);
        assert_eq!(
            secret.sign_standard(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                at,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn what_is_no_secret_is_told() {
        for text in ["", "a\nb", &"x".repeat(SECRET_LENGTH_MAX + 1)] {
            let refused = WebhookSecret::parse(Scheme::Beams, text).unwrap_err();
            assert_eq!(refused, InvalidSecret::Text);
        }
        for text in ["secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!"] {
            let refused = WebhookSecret::parse(Scheme::Standard, text).unwrap_err();
            assert_eq!(refused, InvalidSecret::Standard, "{text}");
        }
    }

    #[test]
    fn a_random_one_can_be_used_and_is_not_shown() {
        for scheme in Scheme::ALL {
            let secret = WebhookSecret::random(scheme);
            let again = WebhookSecret::parse(scheme, secret.reveal()).unwrap();
            assert_eq!(again.sign_beams(b"x"), secret.sign_beams(b"x"));
            assert!(!format!("{secret:?}").contains(secret.reveal()));
        }
    }
}
