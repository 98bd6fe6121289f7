//! Sealing: what must not be read from a stolen database is encrypted before a store sees it.
//!
//! AES-256-GCM under the master key, a random 96-bit nonce for each sealing, and a context (what it is, whose it is) as
//! associated data, so that a sealed value moved to another row does not open there.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The length of a master key, in bytes.
pub const MASTER_KEY_LENGTH: usize = 32;

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is no base64 of 32 bytes.
    #[error("a master key is the base64 of {MASTER_KEY_LENGTH} bytes")]
    InvalidMasterKey,
    /// The bytes were sealed under another master key or in another context, or are damaged.
    #[error(
        "a sealed secret does not open: it was sealed under another master key, or the database is damaged"
    )]
    DoesNotOpen,
    /// The cryptographic library failed, out of memory or entropy.
    #[error("a secret could not be sealed")]
    Failed,
}

/// The key that seals all secrets of a Heliostat. Wiped from memory when dropped, never shown.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; MASTER_KEY_LENGTH]>);

impl MasterKey {
    /// A new random key.
    pub fn random() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    /// Reads base64.
    pub fn from_base64(text: &str) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(text.trim())
                .map_err(|_| SealError::InvalidMasterKey)?,
        );
        let key = bytes
            .as_slice()
            .try_into()
            .map_err(|_| SealError::InvalidMasterKey)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The key in base64, to be kept in a file that nobody else may read.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.0))
    }

    fn key(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| SealError::Failed)
    }

    /// Seals `plain` for `context`.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Sealed, SealError> {
        let mut bytes = plain.to_vec();
        let nonce = self
            .key()?
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut bytes)
            .map_err(|_| SealError::Failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Ok(Sealed(sealed))
    }

    /// Opens what was sealed for the same `context`.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, body) = sealed
            .0
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::DoesNotOpen)?;
        let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce)
            .map_err(|_| SealError::DoesNotOpen)?;
        let mut bytes = Zeroizing::new(body.to_vec());
        let length = self
            .key()?
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut bytes)
            .map_err(|_| SealError::DoesNotOpen)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// A sealed secret: nonce, ciphertext, tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// What a store kept.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_where_it_was_sealed() {
        let key = MasterKey::random();
        let sealed = key.seal("credential/a", b"secret").unwrap();
        assert_eq!(
            key.open("credential/a", &sealed).unwrap().as_slice(),
            b"secret"
        );
        assert_eq!(
            key.open("credential/b", &sealed),
            Err(SealError::DoesNotOpen)
        );
        assert_eq!(
            MasterKey::random().open("credential/a", &sealed),
            Err(SealError::DoesNotOpen)
        );
        let mut damaged = sealed.as_bytes().to_vec();
        damaged[20] ^= 1;
        assert_eq!(
            key.open("credential/a", &Sealed::from_bytes(damaged)),
            Err(SealError::DoesNotOpen)
        );
        assert_eq!(
            key.open("credential/a", &Sealed::from_bytes(vec![1, 2])),
            Err(SealError::DoesNotOpen)
        );
        assert_ne!(
            key.seal("x", b"same").unwrap(),
            key.seal("x", b"same").unwrap()
        );
    }

    #[test]
    fn a_master_key_reads_back() {
        let key = MasterKey::random();
        let again = MasterKey::from_base64(&format!("{}\n", *key.to_base64())).unwrap();
        assert_eq!(*key.to_base64(), *again.to_base64());
        for bad in ["", "AAAA", "not base64!"] {
            assert!(MasterKey::from_base64(bad).is_err());
        }
    }
}
