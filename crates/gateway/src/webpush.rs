//! Web Push (RFC 8030) to whatever push service a browser names.
//!
//! Endpoints come from clients, so each goes through the address guard, and no push service's word is taken about anything
//! but its own subscriptions. Connections are shared by all instances; who sends is said in each request (RFC 8292).

mod encrypt;
mod request;
mod response;
mod vapid;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::clock::Clock;
use domain::device::GatewayToken;
use domain::jws::Es256Key;
use domain::outcome::Outcome;
use domain::payload::Rendered;

use crate::http::{Failure, HttpClient};
use crate::{Delivery, wrong_platform};
use encrypt::EncryptError;
use vapid::VapidTokens;

/// How many sends are useful at once: push services are many, and encryption keeps a core busy with far fewer.
const IN_FLIGHT_LIMIT: usize = 512;

/// The gateways by VAPID key.
pub(crate) struct Registry {
    contact: Arc<str>,
    gateways: Mutex<HashMap<Box<[u8]>, Arc<WebPush>>>,
}

/// What an answer means.
#[cfg(feature = "fuzzing")]
pub(crate) fn outcome_of(answer: &crate::http::Answer, now: domain::clock::Timestamp) -> Outcome {
    response::read(answer, now)
}

impl Registry {
    pub(crate) fn new(contact: Arc<str>) -> Self {
        Self {
            contact,
            gateways: Mutex::default(),
        }
    }

    pub(crate) fn gateway(
        &self,
        key: &Arc<Es256Key>,
        http: &HttpClient,
        clock: &Arc<dyn Clock>,
    ) -> Arc<WebPush> {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = gateways.entry(key.public_key().into()).or_insert_with(|| {
            Arc::new(WebPush {
                tokens: VapidTokens::new(Arc::clone(key), Arc::clone(&self.contact)),
                http: http.clone(),
                clock: Arc::clone(clock),
            })
        });
        Arc::clone(gateway)
    }
}

/// Web Push for one VAPID key.
pub(crate) struct WebPush {
    tokens: VapidTokens,
    http: HttpClient,
    clock: Arc<dyn Clock>,
}

impl WebPush {
    pub(crate) async fn send(&self, delivery: &Delivery<'_>) -> Outcome {
        let (GatewayToken::Web(subscription), Rendered::Web(message)) =
            (&delivery.recipient.token, delivery.payload)
        else {
            return wrong_platform();
        };
        let destination = match self.http.guarded_destination(subscription.origin()) {
            Ok(destination) => destination,
            Err(failure) => return outcome(failure),
        };
        let Ok(authorization) = self.tokens.header(subscription.origin(), self.clock.now()) else {
            return Outcome::retry("signing_failed");
        };
        let body = match encrypt::encrypt(
            &message.plaintext,
            subscription.p256dh(),
            subscription.auth(),
        ) {
            Ok(body) => body,
            Err(EncryptError::TooLong) => return Outcome::rejected("payload_too_large"),
            Err(EncryptError::Key) => return Outcome::rejected("malformed_subscription"),
        };
        let parts = request::Parts {
            subscription,
            message,
            authorization,
            body_length: body.len(),
        };
        let make = || parts.request(destination.target());
        match destination.send(make, body).await {
            Ok(answer) => response::read(&answer, self.clock.now()),
            Err(failure) => outcome(failure),
        }
    }

    /// Whether the service of this origin is known to answer.
    pub(crate) fn knows(&self, origin: &str) -> bool {
        self.http.is_known(origin)
    }

    #[expect(
        clippy::unused_self,
        reason = "the other gateways' limits depend on their connections"
    )]
    pub(crate) fn in_flight_limit(&self) -> usize {
        IN_FLIGHT_LIMIT
    }
}

/// An endpoint that leads where it may not will lead there tomorrow as well, for all we know.
fn outcome(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(_) => Outcome::rejected("endpoint_not_allowed"),
        other => other.outcome(),
    }
}
