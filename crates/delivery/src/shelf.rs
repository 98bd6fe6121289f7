//! Provider and access tokens in the store, sealed, so that all nodes use the same ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::{Clock, Timestamp};
use gateway::{ShelfFailed, Shelved, Token, TokenShelf};
use store::cluster::{Duty, SharedToken, TokenName};
use store::publishes::Lease;
use store::{Store, StoreError};
use uuid::Uuid;

use crate::vault::{Vault, VaultError};

/// For how long a node that died or hangs over it keeps others from getting a token. An exchange that takes longer may be made
/// by two nodes, which costs nothing but the exchange.
const RESERVED_FOR: Duration = Duration::from_secs(10);

/// The shelf of all nodes on a store.
#[derive(Debug)]
pub struct StoreShelf {
    store: Arc<dyn Store>,
    vault: Vault,
    clock: Arc<dyn Clock>,
    /// Whom this node's reservations are by.
    node: Uuid,
}

impl StoreShelf {
    /// The shelf in `store`, whose tokens `vault` seals.
    pub fn new(store: Arc<dyn Store>, vault: Vault, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            vault,
            clock,
            node: Uuid::new_v4(),
        }
    }

    /// A token that does not open is as good as none, or its credential would be of no use for ever. Nodes that have other keys do not
    /// fight over it: each looks here only when its own token is old, so it puts one here that the others cannot read once in most
    /// of an hour at most; and whoever cannot open the credential makes no token at all.
    fn open(&self, name: &str, shared: &SharedToken) -> Shelved {
        let opened = self.vault.open_token(name, &shared.sealed);
        let opened = opened.inspect_err(|error: &VaultError| {
            tracing::error!(name, %error, "a provider token cannot be read and is made anew");
        });
        Shelved {
            version: shared.version,
            token: opened.ok(),
        }
    }
}

fn failed(error: &StoreError) -> ShelfFailed {
    tracing::warn!(%error, "the provider tokens cannot be reached");
    ShelfFailed
}

#[async_trait]
impl TokenShelf for StoreShelf {
    async fn look(&self, name: &str) -> Result<Option<Shelved>, ShelfFailed> {
        let shared = self.store.shared_token(TokenName::new(name)).await;
        let Some(shared) = shared.map_err(|error| failed(&error))? else {
            return Ok(None);
        };
        Ok(Some(self.open(name, &shared)))
    }

    async fn put(
        &self,
        name: &str,
        instead_of: Option<i64>,
        token: Token,
    ) -> Result<Shelved, ShelfFailed> {
        let sealed = self.vault.seal_token(name, &token).map_err(|error| {
            tracing::error!(name, %error, "a provider token cannot be sealed");
            ShelfFailed
        })?;
        let name_kept = TokenName::new(name);
        let shared = self.store.share_token(name_kept, instead_of, sealed).await;
        Ok(self.open(name, &shared.map_err(|error| failed(&error))?))
    }

    async fn reserve(&self, name: &str) -> Result<bool, ShelfFailed> {
        let now = self.clock.now();
        let lease = Lease {
            owner: self.node,
            until: now.after(RESERVED_FOR),
        };
        let duty = Duty::Minting(TokenName::new(name));
        let taken = self.store.take_duty(duty, lease, now).await;
        taken.map_err(|error| failed(&error))
    }

    async fn give_up(&self, name: &str) {
        let duty = Duty::Minting(TokenName::new(name));
        if let Err(error) = self.store.give_up_duty(duty, self.node).await {
            tracing::warn!(%error, "the turn to get a token could not be given up; it ends by itself");
        }
    }
}

/// A token as it is sealed: its times in milliseconds, eight bytes each, then its text.
pub(crate) fn to_bytes(token: &Token) -> Vec<u8> {
    let mut bytes = token.issued_at.as_millis().to_be_bytes().to_vec();
    bytes.extend_from_slice(&token.renew_at.as_millis().to_be_bytes());
    bytes.extend_from_slice(token.text.as_bytes());
    bytes
}

/// The token in these bytes, if they are one's.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Token> {
    let (issued_at, rest) = bytes.split_first_chunk()?;
    let (renew_at, text) = rest.split_first_chunk()?;
    Some(Token {
        text: str::from_utf8(text).ok()?.to_owned().into(),
        issued_at: Timestamp::from_millis(i64::from_be_bytes(*issued_at)),
        renew_at: Timestamp::from_millis(i64::from_be_bytes(*renew_at)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::clock::SystemClock;
    use domain::seal::MasterKey;
    use store::memory::MemoryStore;

    fn token(text: &str) -> Token {
        Token {
            text: text.to_owned().into(),
            issued_at: Timestamp::from_secs(1),
            renew_at: Timestamp::from_secs(3001),
        }
    }

    fn shelf(store: &Arc<dyn Store>, key: &MasterKey) -> StoreShelf {
        let vault = Vault::new(key.clone());
        StoreShelf::new(Arc::clone(store), vault, Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn what_one_node_puts_another_finds() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let key = MasterKey::random();
        let (one, other) = (shelf(&store, &key), shelf(&store, &key));
        assert_eq!(other.look("apns/a").await, Ok(None));
        let put = one.put("apns/a", None, token("secret")).await.unwrap();
        assert_eq!(put.token, Some(token("secret")));
        assert_eq!(other.look("apns/a").await, Ok(Some(put.clone())));
        let late = other.put("apns/a", None, token("late")).await.unwrap();
        assert_eq!(late, put);
        let kept = store.shared_token(TokenName::new("apns/a")).await.unwrap();
        let kept = kept.unwrap().sealed.as_bytes().to_vec();
        assert!(!kept.windows(6).any(|bytes| bytes == b"secret"));
    }

    #[tokio::test]
    async fn a_token_that_does_not_open_is_replaced() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let (one, other) = (
            shelf(&store, &MasterKey::random()),
            shelf(&store, &MasterKey::random()),
        );
        let sealed = one.put("apns/a", None, token("secret")).await.unwrap();
        let found = other.look("apns/a").await.unwrap().unwrap();
        assert_eq!((found.version, found.token), (sealed.version, None));
        // Who does not know that it is there is told so, and gets nothing of it.
        let put = other.put("apns/a", None, token("blind")).await.unwrap();
        assert_eq!((put.version, put.token), (sealed.version, None));
        let mine = Some(token("mine"));
        let put = other
            .put("apns/a", Some(sealed.version), token("mine"))
            .await;
        assert_eq!(put.unwrap().token, mine);
        assert_eq!(other.look("apns/a").await.unwrap().unwrap().token, mine);
    }

    #[tokio::test]
    async fn one_node_at_a_time_gets_a_token() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let key = MasterKey::random();
        let (one, other) = (shelf(&store, &key), shelf(&store, &key));
        assert_eq!(one.reserve("fcm/a").await, Ok(true));
        assert_eq!(other.reserve("fcm/a").await, Ok(false));
        assert_eq!(other.reserve("fcm/b").await, Ok(true));
        one.give_up("fcm/a").await;
        assert_eq!(other.reserve("fcm/a").await, Ok(true));
    }
}
