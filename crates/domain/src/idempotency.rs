//! Requests that may be sent again without being done again.
//!
//! A caller who does not know whether a request arrived repeats it with the same key; what tells a repetition from another
//! request that took the same key by mistake is the fingerprint of what was asked for.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

/// The longest key, in bytes.
pub const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;
/// How long a key is remembered, from the request that used it first.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a caller names one request with: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// The key has the wrong length or characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Checks a key.
    pub fn parse(key: &[u8]) -> Result<Self, InvalidIdempotencyKey> {
        let fine = (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len())
            && key.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(key) {
            Ok(key) if fine => Ok(Self(key.into())),
            _ => Err(InvalidIdempotencyKey),
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was asked for, as 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a request of some kind with this body: SHA-256 over both.
    pub fn of(kind: &str, body: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(body);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// What a store kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A fingerprint of a body that comes in pieces.
pub struct Fingerprinting(Context);

impl Fingerprinting {
    /// Of a request of some kind. Differs from that of the same body as one piece of [`Fingerprint::of`].
    pub fn begin(kind: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(kind.as_bytes());
        context.update(b"\0lines\0");
        Self(context)
    }

    /// Takes the next piece; where pieces end does not matter.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The fingerprint of all pieces.
    pub fn finish(self) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(bytes)
    }
}

impl fmt::Debug for Fingerprinting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinting")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// A request's key and fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// What the caller named it.
    pub key: IdempotencyKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_none() {
        let long = vec![b'x'; IDEMPOTENCY_KEY_LENGTH_MAX + 1];
        for bad in [&b""[..], b"a b", b"a\n", b"\xff", "ä".as_bytes(), &long] {
            assert_eq!(IdempotencyKey::parse(bad), Err(InvalidIdempotencyKey));
        }
        assert!(IdempotencyKey::parse(&long[1..]).is_ok());
    }

    #[test]
    fn kind_and_body_both_count() {
        let one = Fingerprint::of("users", b"{}");
        assert_eq!(one, Fingerprint::of("users", b"{}"));
        assert_ne!(one, Fingerprint::of("users", b"{} "));
        assert_ne!(one, Fingerprint::of("interests", b"{}"));
        assert_ne!(Fingerprint::of("a", b"b"), Fingerprint::of("ab", b""));
    }
}
