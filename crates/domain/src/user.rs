//! The ids by which an app's backend knows its users.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest user id, in Unicode code points. Beams' documents name bytes, characters and "unicode characters", and its
/// SDKs count bytes, code points or UTF-16 units; code points accept whatever any of them lets through.
pub const USER_ID_LENGTH_MAX: usize = 164;
/// How many devices of one platform a user may have. Beams: authenticated-users concept page.
pub const DEVICES_PER_USER_AND_PLATFORM_MAX: u32 = 100;

/// The id of a user of an app: 1 to 164 Unicode code points, any but NUL, compared byte by byte.
///
/// It often is personal data (an address, a number), so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

/// The number of a user inside a store: unique across instances, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserOrdinal(pub i64);

/// Why a string is no user id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserId {
    /// The string is empty.
    #[error("a user id must not be empty")]
    Empty,
    /// The string is over [`USER_ID_LENGTH_MAX`].
    #[error("a user id has at most {USER_ID_LENGTH_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// The string has a NUL character, which no database keeps in a text.
    #[error("a user id must not have a NUL character")]
    Nul,
}

impl UserId {
    /// Checks an id.
    pub fn parse(id: impl Into<String>) -> Result<Self, InvalidUserId> {
        let id = id.into();
        if id.is_empty() {
            return Err(InvalidUserId::Empty);
        }
        let length = id.chars().count();
        if length > USER_ID_LENGTH_MAX {
            return Err(InvalidUserId::TooLong(length));
        }
        if id.contains('\0') {
            return Err(InvalidUserId::Nul);
        }
        Ok(Self(id))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidUserId;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::parse(id)
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_rules() {
        assert_eq!(UserId::parse(""), Err(InvalidUserId::Empty));
        assert_eq!(
            UserId::parse("u".repeat(165)),
            Err(InvalidUserId::TooLong(165))
        );
        assert_eq!(UserId::parse("a\0b"), Err(InvalidUserId::Nul));
        assert!(UserId::parse("ü".repeat(164)).is_ok());
        assert!(UserId::parse("😀".repeat(164)).is_ok());
        assert!(UserId::parse("Stop!' said Fred user/+").is_ok());
    }

    #[test]
    fn debug_does_not_show_it() {
        let shown = format!("{:?}", UserId::parse("alice@example.com").unwrap());
        assert!(!shown.contains("alice"), "{shown}");
    }
}
