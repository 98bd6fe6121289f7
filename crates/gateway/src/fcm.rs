//! FCM, HTTP v1. Firebase: REST resource `projects.messages`, method `send`.
//!
//! One [`Fcm`] per credential: its own connections, and one access token from the token endpoint that the service-account
//! file names.

mod auth;
mod request;
mod response;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::clock::Clock;
use domain::credential::FcmCredential;
use domain::device::GatewayToken;
use domain::outcome::Outcome;
use domain::payload::Rendered;
use http::uri::PathAndQuery;

use crate::http::{Destination, HttpClient, Target};
use crate::shelf::TokenShelf;
use crate::{Attempt, Delivery, HostSign, wrong_platform};
use auth::{AccessToken, AccessTokens};
use response::Answered;

/// How long a message rests at least that came too fast, where FCM names no time. Firebase: `ErrorCode`, `QUOTA_EXCEEDED`, "minimum
/// initial delay of 1 minute".
const QUOTA_REST: Duration = Duration::from_secs(60);

/// The gateways by credential.
pub(crate) struct Registry {
    target: Target,
    /// For the token endpoints.
    http_of_tokens: HttpClient,
    gateways: Mutex<HashMap<Key, Arc<Fcm>>>,
}

/// What makes a service account the same one.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    client_email: Box<str>,
    project_id: Box<str>,
    private_key_id: Box<str>,
    token_uri: Box<str>,
    public_key: Box<[u8]>,
}

/// What an answer means if it is given again with a new access token.
#[cfg(feature = "fuzzing")]
pub(crate) fn outcome_of(answer: &crate::http::Answer, now: domain::clock::Timestamp) -> Outcome {
    response::read(answer, now).outcome()
}

/// How long the access token of an answer holds.
#[cfg(feature = "fuzzing")]
pub(crate) fn token_lifetime_of(
    answer: &crate::http::Answer,
    now: domain::clock::Timestamp,
) -> Result<std::time::Duration, Outcome> {
    response::read_token(answer, now).map(|granted| granted.lifetime)
}

impl Registry {
    pub(crate) fn new(target: Target, http_of_tokens: HttpClient) -> Self {
        Self {
            target,
            http_of_tokens,
            gateways: Mutex::default(),
        }
    }

    pub(crate) fn gateway(
        &self,
        credential: &Arc<FcmCredential>,
        http: &HttpClient,
        clock: &Arc<dyn Clock>,
        shelf: &Arc<dyn TokenShelf>,
    ) -> Arc<Fcm> {
        let key = Key {
            client_email: credential.client_email().into(),
            project_id: credential.project_id().into(),
            private_key_id: credential.private_key_id().into(),
            token_uri: credential.token_uri().into(),
            public_key: credential.key().public_key().into(),
        };
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = gateways.entry(key).or_insert_with(|| {
            Arc::new(Fcm {
                path: request::path(credential.project_id()),
                tokens: AccessTokens::new(
                    Arc::clone(credential),
                    Arc::clone(clock),
                    self.http_of_tokens.clone(),
                    Arc::clone(shelf),
                ),
                clock: Arc::clone(clock),
                destination: http.own_destination(self.target.clone()),
            })
        });
        Arc::clone(gateway)
    }
}

/// FCM for one credential.
pub(crate) struct Fcm {
    path: PathAndQuery,
    tokens: AccessTokens,
    clock: Arc<dyn Clock>,
    destination: Arc<Destination>,
}

impl Fcm {
    pub(crate) async fn send(&self, delivery: &Delivery<'_>) -> Attempt {
        attempt(self.outcome(delivery).await)
    }

    async fn outcome(&self, delivery: &Delivery<'_>) -> Outcome {
        let (GatewayToken::Fcm(token), Rendered::Fcm(message)) =
            (&delivery.recipient.token, delivery.payload)
        else {
            return wrong_platform();
        };
        let body = Bytes::from(message.body(token));
        let access = match self.tokens.current().await {
            Ok(access) => access,
            Err(outcome) => return outcome,
        };
        match self.ask(&access, body.clone()).await {
            Answered::Outcome(outcome) => outcome,
            Answered::Unauthenticated => match self.tokens.renew(&access).await {
                Ok(access) => self.ask(&access, body).await.outcome(),
                Err(outcome) => outcome,
            },
        }
    }

    pub(crate) fn in_flight_limit(&self) -> usize {
        self.destination.in_flight_limit()
    }

    async fn ask(&self, access: &AccessToken, body: Bytes) -> Answered {
        let target = self.destination.target();
        let make = || Some(request::send(target, &self.path, access.header()));
        match self.destination.send(make, body).await {
            Ok(answer) => response::read(&answer, self.clock.now()),
            Err(failure) => Answered::Outcome(failure.outcome()),
        }
    }
}

/// What is to be settled of an outcome. Of too much traffic the host's sign is what FCM said itself: a message rests, but others may
/// go on, fewer at once, unless FCM names a time for all.
fn attempt(mut outcome: Outcome) -> Attempt {
    let sign = HostSign::of(&outcome);
    if let Outcome::Retry { reason, after } = &mut outcome
        && [response::QUOTA_EXCEEDED, response::TOO_MANY_REQUESTS].contains(&&**reason)
    {
        after.get_or_insert(QUOTA_REST);
    }
    Attempt {
        outcome,
        environment: None,
        sign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_too_fast_rests_for_a_minute_and_its_host_does_not() {
        let secs = |secs| Some(Duration::from_secs(secs));
        let throttled = HostSign::Throttled;
        for (reason, asked, after, sign) in [
            ("quota_exceeded", None, secs(60), throttled(None)),
            ("too_many_requests", None, secs(60), throttled(None)),
            ("quota_exceeded", secs(7), secs(7), throttled(secs(7))),
            ("unavailable", None, None, HostSign::Failed),
        ] {
            let retry = |after| Outcome::Retry {
                reason: reason.into(),
                after,
            };
            let attempt = attempt(retry(asked));
            assert_eq!((attempt.outcome, attempt.sign), (retry(after), sign));
        }
        assert_eq!(attempt(Outcome::Accepted).sign, HostSign::Answered);
    }
}
