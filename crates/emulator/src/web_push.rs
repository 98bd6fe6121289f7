//! The Web Push service: push endpoints as RFC 8030, 8188, 8291 and 8292 describe them.
//!
//! Owns the order of the checks and the answers. A message that passes is decrypted if the emulator holds the
//! subscription's keys, or handed to the browser that owns it. Invariant: what a real service could not know (that
//! the cipher text is wrong) never changes the answer; it is only remarked.

mod encryption;
mod refusal;
mod request;
mod subscriptions;
mod vapid;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::behaviour::{Behaviour, Gateway};
use crate::browser::{Agents, Push};
use crate::http::{Reply, Service, empty, json, retry_after, wire_reply, with_retry_after};
use crate::journal::{Notification, Verdict};
use crate::settings::{Settings, Shared};
use refusal::Refusal;
use request::Delivery;
pub(crate) use subscriptions::{Owner, Registry, Subscription};
pub use subscriptions::{PushSubscription, PushSubscriptionKeys, SUBSCRIPTIONS_MAX};
use vapid::Vapid;

/// Every check of a message but that of its sender; with its time to live in seconds.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_message(headers: &http::HeaderMap, body: &Bytes) -> Result<u64, String> {
    request::check(headers, body)
        .map(|delivery| delivery.ttl.as_secs())
        .map_err(|refusal| refusal.word.into_owned())
}

/// Opens a message with keys that it cannot have been made for.
#[cfg(feature = "fuzzing")]
pub(crate) fn decrypt_with_new_keys(body: &[u8]) -> Result<Vec<u8>, String> {
    let keys = encryption::Keys::generate().map_err(|error| error.to_string())?;
    keys.decrypt(body).map_err(str::to_owned)
}

pub(crate) const PUSH_PATH: &str = "/push/";
/// The status of [`Behaviour::Malformed`] unless another is asked for.
const MALFORMED_STATUS: u16 = 400;

/// The listener of the push endpoints.
pub(crate) struct WebPush {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    agents: Arc<Agents>,
    vapid: Vapid,
}

/// What became of a request, for its answer and its line.
struct Judged {
    verdict: Verdict,
    status: Option<StatusCode>,
    reason: Option<Cow<'static, str>>,
    payload: Option<Box<RawValue>>,
    id: Option<String>,
}

impl Judged {
    fn bare(verdict: Verdict, status: Option<StatusCode>) -> Self {
        Self {
            verdict,
            status,
            reason: None,
            payload: None,
            id: None,
        }
    }
}

impl WebPush {
    pub(crate) fn new(shared: Arc<Shared>, registry: Arc<Registry>, agents: Arc<Agents>) -> Self {
        Self {
            shared,
            registry,
            agents,
            vapid: Vapid::default(),
        }
    }

    fn check(&self, head: &Parts, body: &Bytes) -> Result<(Arc<Subscription>, Delivery), Refusal> {
        let id = head
            .uri
            .path()
            .strip_prefix(PUSH_PATH)
            .ok_or_else(|| Refusal::of(404, "no-such-resource"))?;
        if head.method != Method::POST {
            return Err(Refusal::of(405, "method-not-allowed"));
        }
        let subscription = self
            .registry
            .get(id)
            .ok_or_else(|| Refusal::of(404, "no-such-subscription"))?;
        if subscription.is_gone() {
            return Err(Refusal::of(410, "unsubscribed"));
        }
        let key = subscription.application_server_key();
        self.vapid.check(
            &head.headers,
            self.registry.origins(),
            key,
            self.shared.now(),
        )?;
        let delivery = request::check(&head.headers, body)?;
        Ok((subscription, delivery))
    }

    fn behave(behaviour: &Behaviour) -> Result<(), Refusal> {
        match behaviour {
            Behaviour::Dead { .. } => Err(Refusal::of(410, "dead")),
            Behaviour::Throttled { .. } => Err(Refusal::of(429, "too-many-messages")),
            Behaviour::ServerError { status, .. } => {
                Err(Refusal::of(status.unwrap_or(500), "server-error"))
            }
            Behaviour::RefuseCredential { reason } => Err(Refusal::named(
                403,
                reason.clone().unwrap_or_else(|| "bad-vapid".to_owned()),
            )),
            Behaviour::Refuse { reason, status } => {
                Err(Refusal::named(status.unwrap_or(400), reason.clone()))
            }
            _ => Ok(()),
        }
    }

    fn accept(&self, subscription: &Subscription, delivery: &Delivery, body: &Bytes) -> Judged {
        let mut judged = Judged::bare(Verdict::Accepted, Some(StatusCode::CREATED));
        judged.id = Some(Uuid::new_v4().to_string());
        if let Some(owner) = subscription.owner() {
            let push = Push {
                body,
                ttl: delivery.ttl,
                topic: delivery.topic.as_deref(),
            };
            self.agents.push(owner, &push, self.shared.now());
        }
        if let Some(keys) = subscription
            .keys()
            .filter(|_| self.settings().decrypt() && !body.is_empty())
        {
            match keys.decrypt(body) {
                Ok(clear) => match String::from_utf8(clear).map(RawValue::from_string) {
                    Ok(Ok(payload)) => judged.payload = Some(payload),
                    _ => judged.reason = Some("the clear text is not JSON".into()),
                },
                Err(problem) => judged.reason = Some(problem.into()),
            }
        }
        judged
    }

    fn judge(&self, head: &Parts, body: &Bytes) -> (Reply, Judged) {
        let refuse = |refusal: Refusal, retry: Option<HeaderValue>| {
            let response = with_retry_after(json(refusal.status, refusal.body()), retry);
            let verdict = refusal.verdict();
            let judged = Judged {
                reason: Some(refusal.word),
                ..Judged::bare(verdict, Some(refusal.status))
            };
            (Reply::Answer(response), judged)
        };
        let (subscription, delivery) = match self.check(head, body) {
            Ok(checked) => checked,
            Err(refusal) => return refuse(refusal, None),
        };
        let behaviour = self.shared.book.take(Gateway::WebPush, subscription.id());
        if let Some(reply) = wire_reply(&behaviour, MALFORMED_STATUS) {
            let judged = match &reply {
                Reply::Answer(response) => {
                    Judged::bare(Verdict::Malformed, Some(response.status()))
                }
                _ => Judged::bare(Verdict::Unanswered, None),
            };
            return (reply, judged);
        }
        if let Err(refusal) = Self::behave(&behaviour) {
            return refuse(refusal, retry_after(&behaviour, self.shared.now()));
        }
        let judged = self.accept(&subscription, &delivery, body);
        let mut response = empty(StatusCode::CREATED);
        let location = judged
            .id
            .as_deref()
            .and_then(|id| HeaderValue::from_str(&self.registry.message_url(id)).ok());
        if let Some(location) = location {
            response
                .headers_mut()
                .insert(http::header::LOCATION, location);
        }
        response
            .headers_mut()
            .insert("ttl", HeaderValue::from(delivery.ttl.as_secs()));
        let reply = match behaviour {
            Behaviour::Goaway { .. } => Reply::AnswerAndGoAway(response),
            _ => Reply::Answer(response),
        };
        (reply, judged)
    }

    fn record(&self, head: &Parts, judged: Judged) {
        let kept = ["ttl", "urgency", "content-encoding"].into_iter();
        let kept = kept.filter_map(|name| Some((name, head.headers.get(name)?.to_str().ok()?)));
        self.shared.journal.record(Notification {
            at: self.shared.now(),
            gateway: Gateway::WebPush,
            token: subscription_id(head).to_owned(),
            topic: head
                .headers
                .get("topic")
                .and_then(|topic| topic.to_str().ok())
                .map(str::to_owned),
            headers: kept
                .map(|(name, value)| (Cow::Borrowed(name), value.to_owned()))
                .collect::<BTreeMap<_, _>>(),
            payload: judged.payload,
            verdict: judged.verdict,
            status: judged.status.map(|status| status.as_u16()),
            reason: judged.reason,
            id: judged.id,
        });
    }
}

fn subscription_id(head: &Parts) -> &str {
    head.uri.path().strip_prefix(PUSH_PATH).unwrap_or("")
}

impl Service for WebPush {
    fn settings(&self) -> &Settings {
        self.shared.settings(Gateway::WebPush)
    }

    fn ends_before(&self, head: &Parts) -> bool {
        let id = subscription_id(head);
        let ends =
            self.shared.book.peek(Gateway::WebPush, id) == (Behaviour::Goaway { abrupt: true });
        if ends {
            self.shared.book.take(Gateway::WebPush, id);
            let judged = Judged {
                reason: Some("goaway".into()),
                ..Judged::bare(Verdict::Unanswered, None)
            };
            self.record(head, judged);
        }
        ends
    }

    fn answer(&self, head: &Parts, body: &Bytes) -> Reply {
        let (reply, judged) = self.judge(head, body);
        self.record(head, judged);
        reply
    }
}
