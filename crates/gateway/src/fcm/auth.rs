//! Access tokens for service accounts (RFC 7523: a signed assertion is exchanged for a token). Google: Using OAuth 2.0 for
//! server to server applications.
//!
//! Invariant: at most one exchange is under way per credential, on whichever node, and after a failed one there is a pause, so
//! that a thousand waiting deliveries do not ask a thousand times. All nodes use the token that one of them got.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::credential::FcmCredential;
use domain::outcome::Outcome;
use http::HeaderValue;
use http::uri::PathAndQuery;
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use super::{request, response};
use crate::http::{Failure, HttpClient};
use crate::shelf::{self, Shelved, Token, TokenShelf};

/// What the token is for. Firebase: Authorize send requests.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long an assertion holds; Google's maximum.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(3600);
/// How long before its end a token is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long the failure of an exchange is the answer to all who ask.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// How often, and after how long each time, to look whether another node has got the token.
const LOOKS_MAX: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// A token as it is sent.
pub(super) struct AccessToken {
    header: HeaderValue,
    renew_at: Timestamp,
}

impl AccessToken {
    fn of(token: &Token) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", *token.text)).ok()?;
        header.set_sensitive(true);
        Some(Self {
            header,
            renew_at: token.renew_at,
        })
    }

    /// The `authorization` header, marked as sensitive.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

/// The tokens of one credential.
pub(super) struct AccessTokens {
    credential: Arc<FcmCredential>,
    clock: Arc<dyn Clock>,
    http: HttpClient,
    shelf: Arc<dyn TokenShelf>,
    /// What the shelf knows them by.
    name: String,
    current: RwLock<Option<Arc<AccessToken>>>,
    /// Held during an exchange; the last failure, and when.
    exchange: tokio::sync::Mutex<Option<(Outcome, Instant)>>,
}

impl AccessTokens {
    pub(super) fn new(
        credential: Arc<FcmCredential>,
        clock: Arc<dyn Clock>,
        http: HttpClient,
        shelf: Arc<dyn TokenShelf>,
    ) -> Self {
        let parts = [
            credential.client_email().as_bytes(),
            credential.project_id().as_bytes(),
            credential.private_key_id().as_bytes(),
            credential.token_uri().as_bytes(),
            credential.key().public_key(),
        ];
        Self {
            name: shelf::name("fcm", &parts),
            shelf,
            credential,
            clock,
            http,
            current: RwLock::default(),
            exchange: tokio::sync::Mutex::default(),
        }
    }

    /// The token to use now; or what its lack means for a delivery.
    pub(super) async fn current(&self) -> Result<Arc<AccessToken>, Outcome> {
        match self.fresh() {
            Some(token) => Ok(token),
            // Rare and large, and every delivery would keep room for it.
            None => Box::pin(self.exchanged(None)).await,
        }
    }

    /// The token to use after FCM refused `refused`.
    pub(super) async fn renew(&self, refused: &AccessToken) -> Result<Arc<AccessToken>, Outcome> {
        Box::pin(self.exchanged(Some(refused))).await
    }

    fn fresh(&self) -> Option<Arc<AccessToken>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        current
            .as_ref()
            .filter(|token| now < token.renew_at)
            .cloned()
    }

    async fn exchanged(&self, refused: Option<&AccessToken>) -> Result<Arc<AccessToken>, Outcome> {
        let mut last_failure = self.exchange.lock().await;
        // Somebody else may have been here while this one waited.
        if let Some(token) = self.fresh()
            && refused.is_none_or(|refused| refused.header != token.header)
        {
            return Ok(token);
        }
        if let Some((outcome, at)) = &*last_failure
            && at.elapsed() < FAILURE_PAUSE
        {
            return Err(outcome.clone());
        }
        match self.obtain(refused).await {
            Ok(token) => {
                let token = Arc::new(token);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&token));
                *last_failure = None;
                Ok(token)
            }
            Err(outcome) => {
                tracing::warn!(
                    credential = ?self.credential,
                    reason = outcome.reason(),
                    "no access token for FCM"
                );
                *last_failure = Some((outcome.clone(), Instant::now()));
                Err(outcome)
            }
        }
    }

    /// The token that another node has got, or one for all nodes.
    async fn obtain(&self, refused: Option<&AccessToken>) -> Result<AccessToken, Outcome> {
        for _ in 0..LOOKS_MAX {
            if let Some(token) = self.usable(self.look().await?.as_ref(), refused) {
                return Ok(token);
            }
            let reserved = self.shelf.reserve(&self.name).await;
            if reserved.map_err(|_| out_of_reach())? {
                let obtained = self.obtain_for_all(refused).await;
                self.shelf.give_up(&self.name).await;
                return obtained;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Outcome::retry("access_token_pending"))
    }

    async fn obtain_for_all(&self, refused: Option<&AccessToken>) -> Result<AccessToken, Outcome> {
        // Whoever had the turn before may have got one.
        let there = self.look().await?;
        if let Some(token) = self.usable(there.as_ref(), refused) {
            return Ok(token);
        }
        let version = there.map(|there| there.version);
        let put = self.shelf.put(&self.name, version, self.fetch().await?);
        let shelved = put.await.map_err(|_| out_of_reach())?;
        let token = shelved.token.ok_or_else(out_of_reach)?;
        AccessToken::of(&token).ok_or_else(|| Outcome::retry("token_malformed"))
    }

    async fn look(&self) -> Result<Option<Shelved>, Outcome> {
        let looked = self.shelf.look(&self.name).await;
        looked.map_err(|_| out_of_reach())
    }

    fn usable(
        &self,
        there: Option<&Shelved>,
        refused: Option<&AccessToken>,
    ) -> Option<AccessToken> {
        let token = AccessToken::of(there?.token.as_ref()?)?;
        let is_refused = refused.is_some_and(|refused| refused.header == token.header);
        (self.clock.now() < token.renew_at && !is_refused).then_some(token)
    }

    async fn fetch(&self) -> Result<Token, Outcome> {
        let now = self.clock.now();
        let header = Header {
            alg: "RS256",
            typ: "JWT",
            kid: self.credential.private_key_id(),
        };
        let claims = Claims {
            iss: self.credential.client_email(),
            scope: SCOPE,
            aud: self.credential.token_uri(),
            iat: now.as_secs(),
            exp: now.after(ASSERTION_LIFETIME).as_secs(),
        };
        let assertion = self.credential.key().sign(&header, &claims);
        let assertion = assertion.map_err(|_| Outcome::retry("signing_failed"))?;
        let unusable = || Outcome::credential_broken("token_uri_unusable");
        let url = Url::parse(self.credential.token_uri()).map_err(|_| unusable())?;
        // The file was made by whoever uploaded it, so its address is not trusted.
        let failed = |failure| match failure {
            Failure::Refused(_) => Outcome::credential_broken("token_uri_not_allowed"),
            other => Failure::outcome(other),
        };
        self.http
            .guard()
            .check_parsed(&url)
            .map_err(|refused| failed(Failure::Refused(refused)))?;
        let path: PathAndQuery = url[url::Position::BeforePath..url::Position::AfterQuery]
            .parse()
            .map_err(|_| unusable())?;
        let destination = self
            .http
            .guarded_destination(&url.origin().ascii_serialization())
            .map_err(failed)?;
        let body = request::token_body(&assertion);
        let make = || Some(request::token(destination.target(), &path, &body));
        let answer = destination.send(make, body.clone()).await.map_err(failed)?;
        let granted = response::read_token(&answer, self.clock.now())?;
        // Counted from before the question, so never too long. A token with a very short life is used for half of it.
        let margin = RENEW_BEFORE.min(granted.lifetime / 2);
        let token = Token {
            text: granted.access_token,
            issued_at: now,
            renew_at: now.after(granted.lifetime.saturating_sub(margin)),
        };
        // What no header can carry must not reach the other nodes.
        match AccessToken::of(&token) {
            Some(_) => Ok(token),
            None => Err(Outcome::retry("token_malformed")),
        }
    }
}

/// It cannot be found out which token the other nodes use.
fn out_of_reach() -> Outcome {
    Outcome::retry("access_token_unavailable")
}
