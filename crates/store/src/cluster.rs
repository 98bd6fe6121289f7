//! What the nodes that share a store tell each other: who lives, whose turn a duty is, which tokens were made for all of them,
//! and that there is work.

use std::fmt;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::seal::{KeyId, Sealed};
use uuid::Uuid;

use crate::StoreError;
use crate::publishes::Lease;

/// A node that lives, by its own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The node, as its leases name it, and until when it counts as living if it says nothing more.
    pub lease: Lease,
    /// Whether it delivers.
    pub is_worker: bool,
    /// Its master keys, the one that seals first.
    pub keys: Vec<KeyId>,
}

/// How many nodes live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Population {
    /// All of them.
    pub nodes: u64,
    /// Those that deliver.
    pub workers: u64,
}

/// Something that one node at a time does for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// Deleting what is not kept any longer.
    Janitor,
    /// Getting the provider token of this name.
    Minting(TokenName),
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Janitor => f.write_str("janitor"),
            Self::Minting(name) => write!(f, "minting/{name}"),
        }
    }
}

/// What a provider token is found by. Says nothing of the secret that makes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenName(String);

impl TokenName {
    /// A name, as whoever makes the tokens chooses it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A provider token that all nodes use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedToken {
    /// Grows with every token of this name.
    pub version: i64,
    /// The token and its times.
    pub sealed: Sealed,
}

/// What a store keeps for the nodes on it. The contract of [`Store`](crate::Store) holds here too. A lease that ends more than
/// [`AHEAD_MAX`](crate::publishes::AHEAD_MAX) from now does not run, here neither.
#[async_trait]
pub trait Cluster: Send + Sync + fmt::Debug {
    /// Says that a node lives, in place of what it said before, and forgets the nodes whose time is over. Who lives now.
    async fn present(&self, presence: Presence, now: Timestamp) -> Result<Population, StoreError>;

    /// Forgets a node that stops, and gives back the duties it has.
    async fn depart(&self, node: Uuid) -> Result<(), StoreError>;

    /// Who lives now.
    async fn population(&self, now: Timestamp) -> Result<Population, StoreError>;

    /// Takes a duty, or prolongs it where the node has it already. Whether the node has it now: of several that try at once, one
    /// has, and until its lease ends no other.
    async fn take_duty(&self, duty: Duty, lease: Lease, now: Timestamp)
    -> Result<bool, StoreError>;

    /// Gives a duty back, if the node has it.
    async fn give_up_duty(&self, duty: Duty, node: Uuid) -> Result<(), StoreError>;

    /// The token of this name, if one was put there.
    async fn shared_token(&self, name: TokenName) -> Result<Option<SharedToken>, StoreError>;

    /// Puts a token in place of the one of version `instead_of`, `None` for none at all. The one that is there now: this one,
    /// or the one that somebody else put there first.
    async fn share_token(
        &self,
        name: TokenName,
        instead_of: Option<i64>,
        sealed: Sealed,
    ) -> Result<SharedToken, StoreError>;

    /// Waits until somebody may have left work to whoever claims it: a publish that nobody began, or work given back. What
    /// happened since it returned last counts, so one at a time waits. It returns now and then without reason and may miss
    /// something, so whoever waits looks by itself too; a store that cannot tell never returns.
    async fn wait_for_work(&self);

    /// Whether everything is being moved into this store, and not all is there yet: nobody may work on it.
    async fn is_being_filled(&self) -> Result<bool, StoreError>;

    /// Called before this process takes up work. If the store can be sure that no other process does any, it ends the
    /// leases that dead ones have left, so that their work need not rest until then. How many leases it ended.
    async fn succeed_the_dead(&self) -> Result<u64, StoreError>;
}
