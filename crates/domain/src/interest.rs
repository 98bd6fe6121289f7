//! Names of interests, and the limits that stand beside them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of an interest, in characters (which are bytes here). Beams: device-interests concept page.
pub const INTEREST_NAME_LENGTH_MAX: usize = 164;
/// How many interests a device may be subscribed to. Beams: device-interests concept page.
pub const INTERESTS_PER_DEVICE_MAX: usize = 5000;

/// The name of an interest: 1 to 164 of `A-Z a-z 0-9 _ - = @ , . ;`, case-sensitive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterestName(String);

/// Why a string is no name of an interest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInterestName {
    /// The string is empty.
    #[error("an interest name must not be empty")]
    Empty,
    /// The string is over [`INTEREST_NAME_LENGTH_MAX`].
    #[error("an interest name has at most {INTEREST_NAME_LENGTH_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// A character is not allowed.
    #[error("an interest name has only letters, digits and _-=@,.; but this one has {0:?}")]
    BadCharacter(char),
}

impl InterestName {
    /// Checks a name.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidInterestName> {
        let name = name.into();
        if name.is_empty() {
            return Err(InvalidInterestName::Empty);
        }
        if let Some(bad) = name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || "_-=@,.;".contains(*c)))
        {
            return Err(InvalidInterestName::BadCharacter(bad));
        }
        if name.len() > INTEREST_NAME_LENGTH_MAX {
            return Err(InvalidInterestName::TooLong(name.len()));
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InterestName {
    type Error = InvalidInterestName;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(name)
    }
}

impl From<InterestName> for String {
    fn from(name: InterestName) -> Self {
        name.0
    }
}

impl fmt::Display for InterestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InterestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_edges_of_the_rules() {
        assert_eq!(InterestName::parse(""), Err(InvalidInterestName::Empty));
        assert_eq!(
            InterestName::parse("a".repeat(165)),
            Err(InvalidInterestName::TooLong(165))
        );
        assert_eq!(
            InterestName::parse("a b"),
            Err(InvalidInterestName::BadCharacter(' '))
        );
        assert_eq!(
            InterestName::parse("a:b"),
            Err(InvalidInterestName::BadCharacter(':'))
        );
        assert_eq!(
            InterestName::parse("ä"),
            Err(InvalidInterestName::BadCharacter('ä'))
        );
        assert!(InterestName::parse("a".repeat(164)).is_ok());
        assert!(InterestName::parse("aZ09_-=@,.;").is_ok());
        assert!(InterestName::parse(".").is_ok());
    }

    proptest! {
        #[test]
        fn exactly_the_documented_alphabet_is_accepted(name in "\\PC{0,200}") {
            let by_rule = (1..=164).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=@,.;".contains(&b));
            prop_assert_eq!(InterestName::parse(name).is_ok(), by_rule);
        }
    }
}
