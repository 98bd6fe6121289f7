//! Where tokens lie that gateways do not want to see made anew often, so that all nodes use the same ones.
//!
//! Apple refuses a team whose provider tokens change more than once in 20 minutes, and an exchange at Google's token endpoint
//! is a round trip that one node can make for all. A gateway looks here before it makes a token, and uses what is here after it
//! has put its own: if somebody was faster, theirs. Knows nothing of stores; whoever has one makes a shelf of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use domain::clock::Timestamp;
use zeroize::Zeroizing;

/// A token with its times.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself; a secret, wiped from memory when it is dropped.
    pub text: Zeroizing<String>,
    /// When it was made, by the clock of whoever made it.
    pub issued_at: Timestamp,
    /// When it is to be replaced.
    pub renew_at: Timestamp,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(issued at {})", self.issued_at.as_secs())
    }
}

/// A token on a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// Another one for each token of the same name.
    pub version: i64,
    /// The token; `None` where it cannot be read, and is to be replaced.
    pub token: Option<Token>,
}

/// The shelf cannot be reached, or nothing can be put on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tokens that the nodes share cannot be reached")]
pub struct ShelfFailed;

/// Tokens that all nodes share, by name.
#[async_trait]
pub trait TokenShelf: Send + Sync + fmt::Debug {
    /// The token of this name.
    async fn look(&self, name: &str) -> Result<Option<Shelved>, ShelfFailed>;

    /// Puts a token in place of the one of version `instead_of`, `None` for none. What lies there now: this one, or the one that
    /// somebody put there first.
    async fn put(
        &self,
        name: &str,
        instead_of: Option<i64>,
        token: Token,
    ) -> Result<Shelved, ShelfFailed>;

    /// Asks to be the one who makes the token of this name. It comes to an end by itself if the node dies.
    async fn reserve(&self, name: &str) -> Result<bool, ShelfFailed>;

    /// Lets others make the token of this name.
    async fn give_up(&self, name: &str);
}

/// The shelf of a node that shares with nobody.
#[derive(Debug, Default)]
pub(crate) struct OwnShelf(Mutex<HashMap<Box<str>, Shelved>>);

#[async_trait]
impl TokenShelf for OwnShelf {
    async fn look(&self, name: &str) -> Result<Option<Shelved>, ShelfFailed> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shelf.get(name).cloned())
    }

    async fn put(
        &self,
        name: &str,
        instead_of: Option<i64>,
        token: Token,
    ) -> Result<Shelved, ShelfFailed> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = shelf.get(name)
            && instead_of != Some(there.version)
        {
            return Ok(there.clone());
        }
        let fresh = Shelved {
            version: instead_of.unwrap_or(0) + 1,
            token: Some(token),
        };
        shelf.insert(name.into(), fresh.clone());
        Ok(fresh)
    }

    async fn reserve(&self, _name: &str) -> Result<bool, ShelfFailed> {
        Ok(true)
    }

    async fn give_up(&self, _name: &str) {}
}

/// A name made of what tells one credential from all others. Two that claim the same ids with different keys must not get each
/// other's tokens, so the key is a part of it.
pub(crate) fn name(gateway: &str, parts: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    let hash = digest(&SHA256, &all);
    let hex: String = hash
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{gateway}/{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_all_its_parts() {
        let names = [
            name("apns", &[b"a", b"b"]),
            name("apns", &[b"ab", b""]),
            name("apns", &[b"b", b"a"]),
            name("fcm", &[b"a", b"b"]),
        ];
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(names[0], name("apns", &[b"a", b"b"]));
    }
}
