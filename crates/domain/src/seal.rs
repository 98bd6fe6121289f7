//! Sealing: what must not be read from a stolen database is encrypted before a store sees it.
//!
//! AES-256-GCM under a master key, a random 96-bit nonce for each sealing, and a context (what it is, whose it is) as
//! associated data, so that a sealed value moved to another row does not open there. A sealed value names the key it is under,
//! so that keys can be changed while everything runs: the first of a [`Keyring`] seals, the others open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The length of a master key, in bytes.
pub const MASTER_KEY_LENGTH: usize = 32;
/// How many master keys there may be at once: one that seals, and those that are being given up.
pub const MASTER_KEYS_MAX: usize = 8;
/// What a sealed value begins with that names its key. One of before keys had names begins with its random nonce.
const MARK: [u8; 4] = *b"HSk1";
/// What the name of a key is made of, beside the key.
const NAME_OF: &[u8] = b"heliostat master key id";

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is no base64 of 32 bytes.
    #[error("a master key is the base64 of {MASTER_KEY_LENGTH} bytes")]
    InvalidMasterKey,
    /// There are more keys than anybody needs.
    #[error("there are more than {MASTER_KEYS_MAX} master keys")]
    TooManyKeys,
    /// A key is there twice, so it is not clear which one is to be given up.
    #[error("the master key {0} is there twice")]
    KeyTwice(KeyId),
    /// The bytes were sealed under another master key or in another context, or are damaged.
    #[error(
        "a sealed secret does not open: it was sealed under another master key, or the database is damaged"
    )]
    DoesNotOpen,
    /// The bytes name a master key that is not there.
    #[error("a sealed secret needs the master key {0}, which is not configured")]
    UnknownKey(KeyId),
    /// The cryptographic library failed, out of memory or entropy.
    #[error("a secret could not be sealed")]
    Failed,
}

/// What a master key is told from others by. Says nothing of the key: the first bytes of an HMAC under it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; Self::LENGTH]);

impl KeyId {
    /// Its length, in bytes.
    pub const LENGTH: usize = 8;

    /// The id in these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A key that seals secrets. Wiped from memory when dropped, never shown.
#[derive(Clone, ZeroizeOnDrop)]
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

    /// What the key is told from others by.
    pub fn id(&self) -> KeyId {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, NAME_OF);
        let mut id = [0; KeyId::LENGTH];
        id.copy_from_slice(&tag.as_ref()[..KeyId::LENGTH]);
        KeyId(id)
    }

    fn key(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| SealError::Failed)
    }

    /// Nonce, ciphertext and tag. `bound` is what the value opens with alone.
    fn seal(&self, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut bytes = plain.to_vec();
        let nonce = self
            .key()?
            .seal_in_place_append_tag(Aad::from(bound), &mut bytes)
            .map_err(|_| SealError::Failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Ok(sealed)
    }

    fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, body) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::DoesNotOpen)?;
        let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce)
            .map_err(|_| SealError::DoesNotOpen)?;
        let mut bytes = Zeroizing::new(body.to_vec());
        let length = self
            .key()?
            .open_in_place(nonce, Aad::from(bound), &mut bytes)
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

/// The master keys of a Heliostat: the first seals, all of them open.
// What is skipped are ids, and keys that wipe themselves.
#[derive(Debug, Clone, ZeroizeOnDrop)]
pub struct Keyring(#[zeroize(skip)] Vec<(KeyId, MasterKey)>);

impl Keyring {
    /// Reads one or more keys in base64 with white space or commas between them; the first one seals.
    ///
    /// # Errors
    /// [`SealError::InvalidMasterKey`] for something else or nothing, [`SealError::TooManyKeys`], [`SealError::KeyTwice`].
    pub fn from_base64(text: &str) -> Result<Self, SealError> {
        let mut keys: Vec<(KeyId, MasterKey)> = Vec::new();
        let parts = text.split(|c: char| c.is_whitespace() || c == ',');
        for part in parts.filter(|part| !part.is_empty()) {
            let key = MasterKey::from_base64(part)?;
            let id = key.id();
            if keys.iter().any(|(there, _)| *there == id) {
                return Err(SealError::KeyTwice(id));
            }
            if keys.len() == MASTER_KEYS_MAX {
                return Err(SealError::TooManyKeys);
            }
            keys.push((id, key));
        }
        if keys.is_empty() {
            return Err(SealError::InvalidMasterKey);
        }
        Ok(Self(keys))
    }

    /// The keys' ids, the one that seals first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(|(id, _)| *id).collect()
    }

    /// Seals `plain` for `context` under the first key.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Sealed, SealError> {
        let (id, key) = self.0.first().ok_or(SealError::Failed)?;
        let head = head(*id);
        let mut sealed = head.to_vec();
        sealed.append(&mut key.seal(&bound(&head, context), plain)?);
        Ok(Sealed(sealed))
    }

    /// Opens what was sealed for the same `context` under any of the keys.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let named = sealed.key_id();
        if let Some(id) = named
            && let Some((_, key)) = self.0.iter().find(|(there, _)| *there == id)
        {
            let head = head(id);
            return key.open(&bound(&head, context), &sealed.0[head.len()..]);
        }
        // Of before values named their keys. That such a value looks as if it named one happens once in four billion, and
        // does no harm then either.
        for (_, key) in &self.0 {
            if let Ok(plain) = key.open(context.as_bytes(), &sealed.0) {
                return Ok(plain);
            }
        }
        Err(named.map_or(SealError::DoesNotOpen, SealError::UnknownKey))
    }

    /// Whether a value is under the key that seals, and says so.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        let first = self.0.first().map(|(id, _)| *id);
        first.is_some() && sealed.key_id() == first
    }
}

impl From<MasterKey> for Keyring {
    fn from(key: MasterKey) -> Self {
        Self(vec![(key.id(), key)])
    }
}

const HEAD_LENGTH: usize = MARK.len() + KeyId::LENGTH;

fn head(id: KeyId) -> [u8; HEAD_LENGTH] {
    let mut head = [0; HEAD_LENGTH];
    head[..MARK.len()].copy_from_slice(&MARK);
    head[MARK.len()..].copy_from_slice(id.as_bytes());
    head
}

fn bound(head: &[u8], context: &str) -> Vec<u8> {
    [head, context.as_bytes()].concat()
}

/// A sealed secret: which key it is under, nonce, ciphertext, tag.
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

    /// The key it says it is under; `None` for one that was sealed before values named their keys.
    pub fn key_id(&self) -> Option<KeyId> {
        let rest = self.0.strip_prefix(&MARK)?;
        rest.first_chunk().copied().map(KeyId)
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

    fn ring(keys: &[&MasterKey]) -> Keyring {
        let texts: Vec<String> = keys.iter().map(|key| key.to_base64().to_string()).collect();
        Keyring::from_base64(&texts.join("\n")).unwrap()
    }

    #[test]
    fn a_secret_opens_only_where_it_was_sealed() {
        let key = Keyring::from(MasterKey::random());
        let sealed = key.seal("credential/a", b"secret").unwrap();
        assert_eq!(
            key.open("credential/a", &sealed).unwrap().as_slice(),
            b"secret"
        );
        assert_eq!(
            key.open("credential/b", &sealed),
            Err(SealError::DoesNotOpen)
        );
        for at in [0, 6, 14, 30] {
            let mut damaged = sealed.as_bytes().to_vec();
            damaged[at] ^= 1;
            assert!(key.open("credential/a", &Sealed(damaged)).is_err(), "{at}");
        }
        for short in [
            &b""[..],
            &[1, 2],
            b"HSk1",
            b"HSk112345678",
            b"HSk112345678abc",
        ] {
            let short = Sealed::from_bytes(short.to_vec());
            assert!(key.open("credential/a", &short).is_err());
        }
        assert_ne!(
            key.seal("x", b"same").unwrap(),
            key.seal("x", b"same").unwrap()
        );
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (MasterKey::random(), MasterKey::random());
        let (before, both, after) = (ring(&[&old]), ring(&[&new, &old]), ring(&[&new]));
        let was = before.seal("x", b"secret").unwrap();
        assert!(before.is_current(&was) && !both.is_current(&was));
        assert_eq!(both.open("x", &was).unwrap().as_slice(), b"secret");
        assert_eq!(after.open("x", &was), Err(SealError::UnknownKey(old.id())));
        let is = both.seal("x", b"secret").unwrap();
        assert!(both.is_current(&is) && is.key_id() == Some(new.id()));
        assert_eq!(after.open("x", &is).unwrap().as_slice(), b"secret");
        assert_eq!(before.open("x", &is), Err(SealError::UnknownKey(new.id())));
        assert_eq!(both.ids(), [new.id(), old.id()]);
    }

    #[test]
    fn what_was_sealed_before_keys_had_names_opens() {
        let (old, new) = (MasterKey::random(), MasterKey::random());
        let mut nameless = Sealed(old.seal(b"x", b"secret").unwrap());
        for ring in [ring(&[&old]), ring(&[&new, &old])] {
            assert_eq!(ring.open("x", &nameless).unwrap().as_slice(), b"secret");
            assert!(ring.open("y", &nameless).is_err());
            assert!(!ring.is_current(&nameless));
        }
        assert_eq!(
            ring(&[&new]).open("x", &nameless),
            Err(SealError::DoesNotOpen)
        );
        // Its nonce may look like a name.
        let mut bytes = b"secret".to_vec();
        let nonce = *b"HSk112345678";
        let less = aws_lc_rs::aead::LessSafeKey::new(
            aws_lc_rs::aead::UnboundKey::new(&AES_256_GCM, old.0.as_slice()).unwrap(),
        );
        less.seal_in_place_append_tag(
            aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce),
            Aad::from(b"x"),
            &mut bytes,
        )
        .unwrap();
        nameless = Sealed([&nonce[..], &bytes].concat());
        assert_eq!(
            ring(&[&old]).open("x", &nameless).unwrap().as_slice(),
            b"secret"
        );
    }

    #[test]
    fn a_master_key_reads_back() {
        let key = MasterKey::random();
        let again = MasterKey::from_base64(&format!("{}\n", *key.to_base64())).unwrap();
        assert_eq!(*key.to_base64(), *again.to_base64());
        for bad in ["", "AAAA", "not base64!"] {
            assert!(MasterKey::from_base64(bad).is_err());
            assert!(Keyring::from_base64(bad).is_err());
        }
    }

    #[test]
    fn several_keys_are_told_apart() {
        let (one, other) = (MasterKey::random(), MasterKey::random());
        let (a, b) = (one.to_base64(), other.to_base64());
        for text in [format!("{} {}", *a, *b), format!("\n{},{}\n", *a, *b)] {
            let ring = Keyring::from_base64(&text).unwrap();
            assert_eq!(ring.ids(), [one.id(), other.id()]);
            assert!(!format!("{ring:?}").contains(a.as_str()));
        }
        assert_eq!(
            Keyring::from_base64(&format!("{} {} {}", *a, *b, *a)).unwrap_err(),
            SealError::KeyTwice(one.id())
        );
        let many: Vec<String> = (0..=MASTER_KEYS_MAX)
            .map(|_| MasterKey::random().to_base64().to_string())
            .collect();
        let error = Keyring::from_base64(&many.join(",")).unwrap_err();
        assert_eq!(error, SealError::TooManyKeys);
        // An id tells nothing of the key, and is the same everywhere.
        let fixed = MasterKey::from_base64(&STANDARD.encode([7; 32])).unwrap();
        assert_eq!(fixed.id(), fixed.clone().id());
        assert_eq!(fixed.id().to_string().len(), 16);
    }
}
