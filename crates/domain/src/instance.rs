//! Instances: the tenants of a Heliostat, each isolated from the others in everything.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The longest name of an instance, in bytes.
pub const INSTANCE_NAME_LENGTH_MAX: usize = 100;
/// The longest secret key, in bytes. Beams' own have 31 or 64.
pub const SECRET_KEY_LENGTH_MAX: usize = 256;

/// The id of an instance: a UUID, written with hyphens; upper case is understood and written back in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(Uuid);

/// Why a string is no instance id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance id is a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct InvalidInstanceId;

impl InstanceId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Checks an id.
    pub fn parse(id: &str) -> Result<Self, InvalidInstanceId> {
        // Uuid also takes braces, URNs and bare hex; an id has one form only, so that it has one URL only.
        if id.len() != 36 {
            return Err(InvalidInstanceId);
        }
        Uuid::try_parse(id).map(Self).map_err(|_| InvalidInstanceId)
    }

    /// The UUID.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// The instance with this UUID, as a store keeps it.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidInstanceId;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::parse(&id)
    }
}

impl std::str::FromStr for InstanceId {
    type Err = InvalidInstanceId;
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::parse(id)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

/// What people call an instance: 1 to 100 bytes, no control characters. Need not be unique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceName(String);

/// Why a string is no name of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance name has 1 to {INSTANCE_NAME_LENGTH_MAX} bytes and no control characters")]
pub struct InvalidInstanceName;

impl InstanceName {
    /// Checks a name.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidInstanceName> {
        let name = name.into();
        if name.trim().is_empty()
            || name.len() > INSTANCE_NAME_LENGTH_MAX
            || name.chars().any(char::is_control)
        {
            return Err(InvalidInstanceName);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret key of an instance: the bearer token of its server SDKs, and the key that signs its Beams tokens.
///
/// Any visible ASCII string of 1 to 256 bytes. `Debug` does not show it, and its memory is wiped when it is dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SecretKey(Zeroizing<String>);

/// Why a string is no secret key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret key has 1 to {SECRET_KEY_LENGTH_MAX} visible ASCII characters and no spaces")]
pub struct InvalidSecretKey;

impl SecretKey {
    /// A new random key of Beams' form: 64 upper-case hexadecimal digits, 256 bits.
    pub fn random() -> Self {
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        Self(Zeroizing::new(
            bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        ))
    }

    /// Checks a key.
    pub fn parse(key: impl Into<String>) -> Result<Self, InvalidSecretKey> {
        let key = Zeroizing::new(key.into());
        if key.is_empty()
            || key.len() > SECRET_KEY_LENGTH_MAX
            || !key.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(InvalidSecretKey);
        }
        Ok(Self(key))
    }

    /// The key itself. Keep it out of logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this key, compared in constant time.
    pub fn matches(&self, other: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other).is_ok()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_has_one_form() {
        let id = InstanceId::parse("8F9A6E22-2483-49AA-8552-125F1A4C5781").unwrap();
        assert_eq!(id.to_string(), "8f9a6e22-2483-49aa-8552-125f1a4c5781");
        for bad in [
            "",
            "abe1212381f60",
            "8f9a6e22248349aa8552125f1a4c5781",
            "{8f9a6e22-2483-49aa-8552-125f1a4c5781}",
        ] {
            assert_eq!(InstanceId::parse(bad), Err(InvalidInstanceId), "{bad}");
        }
    }

    #[test]
    fn a_secret_key_is_not_shown_and_compares_whole() {
        let key = SecretKey::parse("ABC123").unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
        assert!(key.matches(b"ABC123"));
        assert!(!key.matches(b"ABC12"));
        assert!(!key.matches(b"ABC1234"));
        assert_eq!(SecretKey::random().reveal().len(), 64);
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(257)] {
            assert!(SecretKey::parse(bad).is_err(), "{bad}");
        }
    }
}
