//! The key with which an app's server signs its provider tokens for Apple: `AuthKey.p8`, a key id and a team id.
//!
//! Owns the file and the ids. Invariant: the same key always has the same ids, so that they can be configured once.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::Directory;
use crate::Error;

const FILE: &str = "AuthKey.p8";
/// Apple's ids are ten capital letters and digits.
const ID_CHARACTERS: usize = 10;

/// What Apple would know about the key. The ids come from the key itself, so they need no file of their own.
pub(crate) struct ProviderKey {
    pub(crate) key_id: String,
    pub(crate) team_id: String,
    pub(crate) public: DecodingKey,
}

impl ProviderKey {
    /// Takes the key that is in `directory`, or makes one.
    pub(crate) fn open(directory: &Directory) -> Result<Self, Error> {
        let bad = |problem: String| Error::Key {
            path: directory.path(FILE),
            problem,
        };
        let key = match directory.read(FILE)? {
            Some(text) => KeyPair::from_pem_and_sign_algo(&text, &PKCS_ECDSA_P256_SHA256)
                .map_err(|error| bad(error.to_string()))?,
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                directory.write_private(FILE, &key.serialize_pem())?;
                key
            }
        };
        let point = key.public_key_raw();
        let fingerprint = digest(&SHA256, point);
        let (for_key, for_team) = fingerprint.as_ref().split_at(16);
        Ok(Self {
            key_id: id(for_key),
            team_id: id(for_team),
            public: DecodingKey::from_ec_der(point),
        })
    }

    pub(crate) fn path(directory: &Directory) -> std::path::PathBuf {
        directory.path(FILE)
    }
}

fn id(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes).to_ascii_uppercase();
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .chain(std::iter::repeat('A'))
        .take(ID_CHARACTERS)
        .collect()
}
