//! APNs. Apple: Sending notification requests to APNs.
//!
//! One [`Apns`] per credential: its own connections to both of Apple's gateways (a connection must not carry two teams) and
//! one provider token. Nothing tells which of the two a device token belongs to, so the one that took it last is asked
//! first, and the other one if it has never heard of it.

mod auth;
mod request;
mod response;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use domain::clock::Clock;
use domain::credential::ApnsCredential;
use domain::device::{ApnsEnvironment, GatewayToken};
use domain::outcome::Outcome;
use domain::payload::Rendered;

use crate::http::{Destination, HttpClient, Target};
use crate::shelf::TokenShelf;
use crate::{Attempt, Delivery, HostSign, wrong_platform};
use auth::ProviderTokens;
use request::Parts;
use response::Verdict;

/// The gateways by credential. They stay for as long as the process runs, since a provider token must not be made anew more
/// often than every 20 minutes.
pub(crate) struct Registry {
    production: Target,
    sandbox: Target,
    gateways: Mutex<HashMap<Key, Arc<Apns>>>,
}

/// Two credentials with the same ids but different keys are different ones.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    team_id: Box<str>,
    key_id: Box<str>,
    public_key: Box<[u8]>,
}

impl Registry {
    pub(crate) fn new(production: Target, sandbox: Target) -> Self {
        Self {
            production,
            sandbox,
            gateways: Mutex::default(),
        }
    }

    pub(crate) fn gateway(
        &self,
        credential: &Arc<ApnsCredential>,
        http: &HttpClient,
        clock: &Arc<dyn Clock>,
        shelf: &Arc<dyn TokenShelf>,
    ) -> Arc<Apns> {
        let key = Key {
            team_id: credential.team_id().into(),
            key_id: credential.key_id().into(),
            public_key: credential.key().public_key().into(),
        };
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = gateways.entry(key).or_insert_with(|| {
            Arc::new(Apns {
                tokens: ProviderTokens::new(
                    Arc::clone(credential),
                    Arc::clone(clock),
                    Arc::clone(shelf),
                ),
                clock: Arc::clone(clock),
                production: http.own_destination(self.production.clone()),
                sandbox: http.own_destination(self.sandbox.clone()),
            })
        });
        Arc::clone(gateway)
    }
}

/// What an answer means if both gateways give it.
#[cfg(feature = "fuzzing")]
pub(crate) fn outcome_of(answer: &crate::http::Answer, now: domain::clock::Timestamp) -> Outcome {
    match response::read(answer, now).verdict() {
        Verdict::Final(outcome) => outcome,
        Verdict::OtherEnvironment(refusal) => response::refused_by_both(refusal, refusal),
    }
}

/// APNs for one credential.
pub(crate) struct Apns {
    tokens: ProviderTokens,
    clock: Arc<dyn Clock>,
    production: Arc<Destination>,
    sandbox: Arc<Destination>,
}

impl Apns {
    pub(crate) async fn send(&self, delivery: &Delivery<'_>) -> Attempt {
        let (GatewayToken::Apns(token), Rendered::Apns(notification)) =
            (&delivery.recipient.token, delivery.payload)
        else {
            return wrong_platform().into();
        };
        // Without a bundle identifier APNs could only answer MissingTopic. The device is not to blame: it may register one.
        let Some(topic) = &delivery.recipient.bundle_id else {
            return Outcome::rejected("missing_topic").into();
        };
        let id = delivery.publish.delivery_uuid(delivery.recipient.device);
        let parts = Parts {
            token,
            topic,
            id,
            notification,
        };
        let body = Bytes::copy_from_slice(&notification.body);
        let first = delivery.recipient.environment;
        let refusal = match self.ask(first, &parts, &body).await {
            Verdict::Final(outcome) => return outcome.into(),
            Verdict::OtherEnvironment(refusal) => refusal,
        };
        let second = match first {
            ApnsEnvironment::Production => ApnsEnvironment::Sandbox,
            ApnsEnvironment::Sandbox => ApnsEnvironment::Production,
        };
        match self.ask(second, &parts, &body).await {
            // The sign is that of the first, which has answered: it is at its gate that the delivery was let in.
            Verdict::Final(outcome) => Attempt {
                environment: (outcome == Outcome::Accepted).then_some(second),
                sign: HostSign::Answered,
                outcome,
            },
            Verdict::OtherEnvironment(second_refusal) => {
                response::refused_by_both(refusal, second_refusal).into()
            }
        }
    }

    pub(crate) fn in_flight_limit(&self) -> usize {
        self.production.in_flight_limit()
    }

    /// Asks one of the two gateways; once more if the provider token had grown too old.
    async fn ask(&self, environment: ApnsEnvironment, parts: &Parts<'_>, body: &Bytes) -> Verdict {
        let destination = match environment {
            ApnsEnvironment::Production => &self.production,
            ApnsEnvironment::Sandbox => &self.sandbox,
        };
        let token = match self.tokens.current().await {
            Ok(token) => token,
            Err(none) => return Verdict::Final(none.outcome()),
        };
        let verdict = self.ask_with(destination, parts, body, &token.header).await;
        let response::Answered::ExpiredToken = verdict else {
            return verdict.verdict();
        };
        match self.tokens.renew(&token).await {
            Ok(Some(renewed)) => self
                .ask_with(destination, parts, body, &renewed.header)
                .await
                .verdict(),
            Ok(None) => response::Answered::ExpiredToken.verdict(),
            Err(none) => Verdict::Final(none.outcome()),
        }
    }

    async fn ask_with(
        &self,
        destination: &Arc<Destination>,
        parts: &Parts<'_>,
        body: &Bytes,
        authorization: &http::HeaderValue,
    ) -> response::Answered {
        let make = || parts.request(destination.target(), authorization);
        match destination.send(make, body.clone()).await {
            Ok(answer) => response::read(&answer, self.clock.now()),
            Err(failure) => response::Answered::Verdict(Verdict::Final(failure.outcome())),
        }
    }
}
