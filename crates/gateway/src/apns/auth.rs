//! Provider tokens (ES256). Apple: Establishing a token-based connection to APNs.
//!
//! Apple wants a token to be 20 to 60 minutes old when the next one comes, and counts per team. Invariant: whatever the
//! concurrency, and on however many nodes, a credential has one token at a time, and no two come into use within 20 minutes.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::credential::ApnsCredential;
use domain::jws::SigningFailed;
use domain::outcome::Outcome;
use http::HeaderValue;
use serde::Serialize;

use crate::shelf::{self, ShelfFailed, Token, TokenShelf};

/// When a token is replaced; Apple refuses it after an hour.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(50 * 60);
/// The least age at which a token may be replaced. A younger one earns `TooManyProviderTokenUpdates`.
const TOKEN_AGE_MIN: Duration = Duration::from_secs(20 * 60);

/// How far apart the clocks of two nodes may be.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

/// A token as it is sent.
#[derive(Clone)]
pub(super) struct ProviderToken {
    /// The `authorization` header; marked as sensitive, so it is neither shown nor put into a compression table.
    pub(super) header: HeaderValue,
    issued_at: Timestamp,
}

/// Why there is no token to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoToken {
    /// The key does not sign.
    Signing,
    /// It cannot be found out which one the other nodes use, and one of our own could cost all of them theirs.
    Shelf,
}

impl NoToken {
    /// What that means for a delivery.
    pub(super) fn outcome(self) -> Outcome {
        Outcome::retry(match self {
            Self::Signing => "signing_failed",
            Self::Shelf => "provider_token_unavailable",
        })
    }
}

impl From<SigningFailed> for NoToken {
    fn from(_: SigningFailed) -> Self {
        Self::Signing
    }
}

impl From<ShelfFailed> for NoToken {
    fn from(_: ShelfFailed) -> Self {
        Self::Shelf
    }
}

/// The tokens of one credential.
pub(super) struct ProviderTokens {
    credential: Arc<ApnsCredential>,
    clock: Arc<dyn Clock>,
    shelf: Arc<dyn TokenShelf>,
    /// What the shelf knows them by.
    name: String,
    current: RwLock<Option<ProviderToken>>,
    /// Held while the shelf is looked at.
    renewal: tokio::sync::Mutex<()>,
}

impl ProviderTokens {
    pub(super) fn new(
        credential: Arc<ApnsCredential>,
        clock: Arc<dyn Clock>,
        shelf: Arc<dyn TokenShelf>,
    ) -> Self {
        let parts = [
            credential.team_id().as_bytes(),
            credential.key_id().as_bytes(),
            credential.key().public_key(),
        ];
        Self {
            name: shelf::name("apns", &parts),
            credential,
            clock,
            shelf,
            current: RwLock::default(),
            renewal: tokio::sync::Mutex::default(),
        }
    }

    /// The token to use now.
    pub(super) async fn current(&self) -> Result<ProviderToken, NoToken> {
        self.token_unless(|token, now| token.is_older_than(TOKEN_AGE_MAX, now))
            .await
    }

    /// The token to use after APNs called `expired` too old; `None` where it is too young to be replaced.
    pub(super) async fn renew(
        &self,
        expired: &ProviderToken,
    ) -> Result<Option<ProviderToken>, NoToken> {
        let token = self.token_unless(|token, now| {
            token.issued_at == expired.issued_at && token.is_older_than(TOKEN_AGE_MIN, now)
        });
        let token = token.await?;
        Ok((token.issued_at != expired.issued_at).then_some(token))
    }

    /// The token that this node has, or the one that all nodes have, or one made anew for all where `replace` says so.
    async fn token_unless(
        &self,
        replace: impl Fn(&ProviderToken, Timestamp) -> bool,
    ) -> Result<ProviderToken, NoToken> {
        let fits = |token: &ProviderToken| !replace(token, self.clock.now());
        if let Some(token) = self.cached().filter(&fits) {
            return Ok(token);
        }
        let _renewal = self.renewal.lock().await;
        if let Some(token) = self.cached().filter(&fits) {
            return Ok(token);
        }
        let there = self.shelf.look(&self.name).await?;
        let version = there.as_ref().map(|there| there.version);
        let shared = there
            .and_then(|there| ProviderToken::of(&there.token?))
            .filter(&fits);
        let token = match shared {
            Some(token) => token,
            None => {
                let put = self.shelf.put(&self.name, version, self.mint()?);
                let put = put.await?.token;
                put.and_then(|token| ProviderToken::of(&token))
                    .ok_or(NoToken::Shelf)?
            }
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn cached(&self) -> Option<ProviderToken> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn mint(&self) -> Result<Token, SigningFailed> {
        let now = self.clock.now();
        let header = Header {
            alg: "ES256",
            kid: self.credential.key_id(),
        };
        let claims = Claims {
            iss: self.credential.team_id(),
            iat: now.as_secs(),
        };
        Ok(Token {
            text: self.credential.key().sign(&header, &claims)?.into(),
            issued_at: now,
            renew_at: now.after(TOKEN_AGE_MAX),
        })
    }
}

impl ProviderToken {
    fn of(token: &Token) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("bearer {}", *token.text)).ok()?;
        header.set_sensitive(true);
        Some(Self {
            header,
            issued_at: token.issued_at,
        })
    }

    /// A token from the future was made before the clock was set back, and APNs refuses it; but the clocks of two nodes are
    /// never quite the same.
    fn is_older_than(&self, age: Duration, now: Timestamp) -> bool {
        now.since(self.issued_at) >= age || now.after(CLOCKS_APART_MAX) < self.issued_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use base64::Engine as _;
    use domain::clock::ManualClock;
    use domain::jws::Es256Key;

    use crate::shelf::{OwnShelf, Shelved};

    fn credential() -> Arc<ApnsCredential> {
        let der = Es256Key::generate().unwrap().pkcs8().to_vec();
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        Arc::new(ApnsCredential::parse("ABC1234567", "TEAM123456", &pem).unwrap())
    }

    fn tokens() -> (Arc<ManualClock>, ProviderTokens) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let shelf = Arc::new(OwnShelf::default());
        (
            Arc::clone(&clock),
            ProviderTokens::new(credential(), clock, shelf),
        )
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_token_says_who_and_when() {
        let (_, tokens) = tokens();
        let token = tokens.current().await.unwrap();
        let text = token
            .header
            .to_str()
            .unwrap()
            .strip_prefix("bearer ")
            .unwrap();
        let split = domain::jws::Unverified::split(text).unwrap();
        assert_eq!(split.header, br#"{"alg":"ES256","kid":"ABC1234567"}"#);
        assert_eq!(split.claims, br#"{"iss":"TEAM123456","iat":1000000}"#);
        assert!(!format!("{:?}", token.header).contains(text));
    }

    #[tokio::test]
    async fn a_token_is_used_for_fifty_minutes() {
        let (clock, tokens) = tokens();
        let first = tokens.current().await.unwrap();
        clock.advance(49 * MINUTE);
        assert_eq!(tokens.current().await.unwrap().header, first.header);
        clock.advance(MINUTE);
        assert_ne!(tokens.current().await.unwrap().header, first.header);
    }

    #[tokio::test]
    async fn an_expired_token_is_renewed_once_and_not_within_twenty_minutes() {
        let (clock, tokens) = tokens();
        let first = tokens.current().await.unwrap();
        clock.advance(19 * MINUTE);
        assert!(tokens.renew(&first).await.unwrap().is_none());
        clock.advance(MINUTE);
        let second = tokens.renew(&first).await.unwrap().unwrap();
        assert_ne!(second.header, first.header);
        // Others who were refused with the first token get the one that was made meanwhile.
        assert_eq!(
            tokens.renew(&first).await.unwrap().unwrap().header,
            second.header
        );
        assert!(tokens.renew(&second).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_token_from_the_future_is_replaced() {
        let (clock, tokens) = tokens();
        let first = tokens.current().await.unwrap();
        clock.set(Timestamp::from_secs(900_000));
        assert_ne!(tokens.current().await.unwrap().header, first.header);
    }

    #[tokio::test]
    async fn nodes_share_one_token_and_one_of_them_renews_it() {
        let shelf: Arc<dyn TokenShelf> = Arc::new(OwnShelf::default());
        let credential = credential();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        // The clocks of two nodes are never quite the same.
        let late = Arc::new(ManualClock::new(Timestamp::from_secs(999_990)));
        let node = |clock: &Arc<ManualClock>| {
            ProviderTokens::new(
                Arc::clone(&credential),
                Arc::clone(clock) as _,
                Arc::clone(&shelf),
            )
        };
        let nodes = [node(&clock), node(&late), node(&clock)];
        let used = async || {
            let mut used = Vec::new();
            for node in &nodes {
                used.push(node.current().await.unwrap());
            }
            used
        };
        let first = used().await;
        assert!(first.iter().all(|token| token.header == first[0].header));
        for clock in [&clock, &late] {
            clock.advance(30 * MINUTE);
        }
        // All are told at once that it is too old: one replaces it.
        let mut renewed = Vec::new();
        for node in &nodes {
            renewed.push(node.renew(&first[0]).await.unwrap().unwrap());
        }
        assert_ne!(renewed[0].header, first[0].header);
        assert!(
            renewed
                .iter()
                .all(|token| token.header == renewed[0].header)
        );
        assert!(
            used()
                .await
                .iter()
                .all(|token| token.header == renewed[0].header)
        );
        // Another key of the same ids is another matter.
        let stranger = ProviderTokens::new(self::credential(), clock, Arc::clone(&shelf));
        assert_ne!(stranger.current().await.unwrap().header, renewed[0].header);
    }

    #[derive(Debug)]
    struct BrokenShelf;

    #[async_trait]
    impl TokenShelf for BrokenShelf {
        async fn look(&self, _: &str) -> Result<Option<Shelved>, ShelfFailed> {
            Err(ShelfFailed)
        }

        async fn put(&self, _: &str, _: Option<i64>, _: Token) -> Result<Shelved, ShelfFailed> {
            Err(ShelfFailed)
        }

        async fn reserve(&self, _: &str) -> Result<bool, ShelfFailed> {
            Err(ShelfFailed)
        }

        async fn give_up(&self, _: &str) {}
    }

    /// Has tokens that this node cannot read.
    #[derive(Debug, Default)]
    struct SealedShelf(OwnShelf);

    #[async_trait]
    impl TokenShelf for SealedShelf {
        async fn look(&self, name: &str) -> Result<Option<Shelved>, ShelfFailed> {
            let there = self.0.look(name).await?;
            Ok(there.map(|there| Shelved {
                token: None,
                ..there
            }))
        }

        async fn put(
            &self,
            name: &str,
            instead_of: Option<i64>,
            token: Token,
        ) -> Result<Shelved, ShelfFailed> {
            self.0.put(name, instead_of, token).await
        }

        async fn reserve(&self, _: &str) -> Result<bool, ShelfFailed> {
            Ok(true)
        }

        async fn give_up(&self, _: &str) {}
    }

    #[tokio::test]
    async fn a_shared_token_that_cannot_be_read_is_made_anew_once() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let (credential, shelf) = (credential(), Arc::<SealedShelf>::default());
        let node = || {
            let (credential, clock) = (Arc::clone(&credential), Arc::clone(&clock));
            ProviderTokens::new(credential, clock, Arc::clone(&shelf) as _)
        };
        let (before, after) = (node(), node());
        let unreadable = before.current().await.unwrap();
        let own = after.current().await.unwrap();
        assert_ne!(own.header, unreadable.header);
        clock.advance(49 * MINUTE);
        assert_eq!(after.current().await.unwrap().header, own.header);
        assert_eq!(before.current().await.unwrap().header, unreadable.header);
    }

    #[tokio::test]
    async fn without_the_shelf_no_node_makes_a_token_of_its_own() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let tokens = ProviderTokens::new(credential(), clock, Arc::new(BrokenShelf));
        assert_eq!(tokens.current().await.err(), Some(NoToken::Shelf));
    }
}
