//! Apple's push service: `POST /3/device/{token}`.
//!
//! Rules and words are those of Apple's "Sending notification requests to APNs" and "Handling notification responses
//! from APNs". Owns the order of the checks and the answers. Invariant: a request is accepted only if every
//! documented rule about it holds; behaviours come after the rules.

mod provider_token;
mod refusal;
mod request;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::behaviour::{Behaviour, Gateway};
use crate::http::{Reply, Service, empty, json, retry_after, status, wire_reply, with_retry_after};
use crate::journal::{Notification, Verdict};
use crate::settings::{Settings, Shared};
pub(crate) use provider_token::ProviderTokens;
use refusal::Refusal;

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const APNS_UNIQUE_ID: HeaderName = HeaderName::from_static("apns-unique-id");
/// The status of [`Behaviour::Malformed`] unless another is asked for.
const MALFORMED_STATUS: u16 = 400;

/// Every check of a request but that of its provider token.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_request(head: &Parts, body: &Bytes) -> Result<(), String> {
    request::check_target(head)
        .and_then(|()| request::check_headers(&head.headers))
        .and_then(|()| request::check_token(device_token(head)))
        .and_then(|()| request::check_payload(&head.headers, body))
        .map_err(|refusal| refusal.reason.into_owned())
}

/// One of the two environments.
pub(crate) struct Apns {
    gateway: Gateway,
    shared: Arc<Shared>,
    tokens: Arc<ProviderTokens>,
}

impl Apns {
    pub(crate) fn new(gateway: Gateway, shared: Arc<Shared>, tokens: Arc<ProviderTokens>) -> Self {
        Self {
            gateway,
            shared,
            tokens,
        }
    }

    fn check(&self, head: &Parts, body: &Bytes) -> Result<(), Refusal> {
        request::check_target(head)?;
        let strict = self.settings().strict_token_updates();
        self.tokens
            .check(&head.headers, self.shared.now(), strict)?;
        request::check_headers(&head.headers)?;
        request::check_token(device_token(head))?;
        request::check_payload(&head.headers, body)
    }

    /// A correct notification: what the token's behaviour makes of it.
    fn behave(&self, behaviour: &Behaviour) -> Result<(), Refusal> {
        let now = self.shared.now();
        match behaviour {
            Behaviour::SandboxOnly if self.gateway == Gateway::Apns => {
                Err(Refusal::of("BadDeviceToken"))
            }
            Behaviour::Ok | Behaviour::SandboxOnly | Behaviour::Goaway { .. } => Ok(()),
            Behaviour::Dead { timestamp_ms } => {
                let since = timestamp_ms.unwrap_or_else(|| now.as_millis());
                Err(Refusal {
                    timestamp_ms: Some(since),
                    ..Refusal::of("Unregistered")
                })
            }
            Behaviour::Throttled { .. } => Err(Refusal {
                retry_after: retry_after(behaviour, now),
                ..Refusal::of("TooManyRequests")
            }),
            Behaviour::ServerError { status: code, .. } => {
                let code = code.unwrap_or(500);
                let reason = if code == 503 {
                    "ServiceUnavailable"
                } else {
                    "InternalServerError"
                };
                let retry_after = retry_after(behaviour, now);
                Err(Refusal {
                    status: status(code),
                    retry_after,
                    ..Refusal::of(reason)
                })
            }
            Behaviour::RefuseCredential { reason } => {
                let reason = reason
                    .clone()
                    .unwrap_or_else(|| "InvalidProviderToken".to_owned());
                Err(Refusal::named(reason, None))
            }
            Behaviour::Refuse {
                reason,
                status: code,
            } => Err(Refusal::named(reason.clone(), *code)),
            // About the wire: answered before this is asked.
            Behaviour::Hang
            | Behaviour::RstStream { .. }
            | Behaviour::Cut
            | Behaviour::Malformed { .. }
            | Behaviour::Redirect { .. } => Ok(()),
        }
    }

    fn refuse(&self, refusal: &Refusal, id: &str) -> Response<Bytes> {
        let response = json(refusal.status, refusal.body());
        self.with_ids(with_retry_after(response, refusal.retry_after.clone()), id)
    }

    fn with_ids(&self, mut response: Response<Bytes>, id: &str) -> Response<Bytes> {
        if let Ok(value) = HeaderValue::from_str(id) {
            response.headers_mut().insert(APNS_ID, value);
        }
        if self.gateway == Gateway::ApnsSandbox
            && let Ok(value) = HeaderValue::from_str(&Uuid::new_v4().to_string())
        {
            // Apple's sandbox names a notification for its delivery log.
            response.headers_mut().insert(APNS_UNIQUE_ID, value);
        }
        response
    }

    fn record(
        &self,
        head: &Parts,
        body: &Bytes,
        id: String,
        verdict: Verdict,
        answer: (Option<StatusCode>, Option<Cow<'static, str>>),
    ) {
        let payload = std::str::from_utf8(body)
            .ok()
            .filter(|_| body.len() <= request::VOIP_PAYLOAD_BYTES_MAX);
        self.shared.journal.record(Notification {
            at: self.shared.now(),
            gateway: self.gateway,
            token: device_token(head).to_owned(),
            topic: request::header(&head.headers, "apns-topic").map(str::to_owned),
            headers: kept_headers(head),
            payload: payload.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
            verdict,
            status: answer.0.map(|status| status.as_u16()),
            reason: answer.1,
            id: Some(id),
        });
    }
}

/// The last segment of the path; empty if the path is not one of a device.
fn device_token(head: &Parts) -> &str {
    head.uri
        .path()
        .strip_prefix(request::DEVICE_PATH)
        .unwrap_or("")
}

fn kept_headers(head: &Parts) -> BTreeMap<Cow<'static, str>, String> {
    let names = [
        "apns-push-type",
        "apns-priority",
        "apns-expiration",
        "apns-collapse-id",
        "apns-channel-id",
    ];
    let present = names
        .into_iter()
        .filter_map(|name| Some((name, request::header(&head.headers, name)?)));
    present
        .map(|(name, value)| (Cow::Borrowed(name), value.to_owned()))
        .collect()
}

impl Service for Apns {
    fn settings(&self) -> &Settings {
        self.shared.settings(self.gateway)
    }

    fn ends_before(&self, head: &Parts) -> bool {
        let token = device_token(head);
        let ends =
            self.shared.book.peek(self.gateway, token) == (Behaviour::Goaway { abrupt: true });
        if ends {
            self.shared.book.take(self.gateway, token);
            let id = request::given_id(&head.headers).unwrap_or_default();
            self.record(
                head,
                &Bytes::new(),
                id,
                Verdict::Unanswered,
                (None, Some("goaway".into())),
            );
        }
        ends
    }

    fn answer(&self, head: &Parts, body: &Bytes) -> Reply {
        let id = request::given_id(&head.headers).unwrap_or_else(|| Uuid::new_v4().to_string());
        if let Err(refusal) = self.check(head, body) {
            let response = self.refuse(&refusal, &id);
            self.record(
                head,
                body,
                id,
                refusal.verdict(),
                (Some(refusal.status), Some(refusal.reason)),
            );
            return Reply::Answer(response);
        }
        let behaviour = self.shared.book.take(self.gateway, device_token(head));
        if let Some(reply) = wire_reply(&behaviour, MALFORMED_STATUS) {
            let (verdict, status) = match &reply {
                Reply::Answer(response) => (Verdict::Malformed, Some(response.status())),
                _ => (Verdict::Unanswered, None),
            };
            self.record(head, body, id, verdict, (status, None));
            return reply;
        }
        match self.behave(&behaviour) {
            Ok(()) => {
                let response = self.with_ids(empty(StatusCode::OK), &id);
                self.record(
                    head,
                    body,
                    id,
                    Verdict::Accepted,
                    (Some(StatusCode::OK), None),
                );
                if matches!(behaviour, Behaviour::Goaway { .. }) {
                    Reply::AnswerAndGoAway(response)
                } else {
                    Reply::Answer(response)
                }
            }
            Err(refusal) => {
                let response = self.refuse(&refusal, &id);
                self.record(
                    head,
                    body,
                    id,
                    refusal.verdict(),
                    (Some(refusal.status), Some(refusal.reason)),
                );
                Reply::Answer(response)
            }
        }
    }
}
