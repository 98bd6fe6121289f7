//! Firebase Cloud Messaging, HTTP v1: `POST /v1/projects/{project}/messages:send`, and Google's token endpoint.
//!
//! Rules and words are those of Google's reference of `projects.messages` and "FCM error codes". Owns the order of the
//! checks and the answers. Invariant: a message is accepted only if every field of it is one that Google documents.

mod access;
mod message;
mod refusal;
mod schema;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::behaviour::{Behaviour, Gateway};
use crate::http::{
    BODY_BYTES_MAX, Reply, Service, json, retry_after, status, wire_reply, with_retry_after,
};
use crate::journal::{Notification, Verdict};
use crate::settings::{Settings, Shared};
pub(crate) use access::AccessTokens;
use refusal::Refusal;

/// Every check of a message.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_message(body: &Value) -> Result<(), String> {
    message::check(body).map_err(|refusal| format!("{}: {}", refusal.word, refusal.body))
}

const TOKEN_PATH: &str = "/token";
/// The status of [`Behaviour::Malformed`] unless another is asked for.
const MALFORMED_STATUS: u16 = 200;

/// Google: both services on one listener.
pub(crate) struct Fcm {
    shared: Arc<Shared>,
    access: Arc<AccessTokens>,
}

/// A message that passed all rules.
struct Checked {
    message: Value,
    validate_only: bool,
}

impl Fcm {
    pub(crate) fn new(shared: Arc<Shared>, access: Arc<AccessTokens>) -> Self {
        Self { shared, access }
    }

    fn check(&self, head: &Parts, body: &Bytes, target: &mut String) -> Result<Checked, Refusal> {
        let project = head
            .uri
            .path()
            .strip_prefix("/v1/projects/")
            .and_then(|rest| rest.strip_suffix("/messages:send"))
            .filter(|project| !project.is_empty() && !project.contains('/'))
            .ok_or_else(|| Refusal::not_found("The requested URL was not found on this server."))?;
        if head.method != Method::POST {
            return Err(Refusal::not_found(
                "The requested URL was not found on this server.",
            ));
        }
        self.access.check(&head.headers, self.shared.now())?;
        if project != self.access.project_id() {
            return Err(Refusal::permission_denied(project));
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(Refusal::invalid("message", "Message is too big"));
        }
        let mut body: Value =
            serde_json::from_slice(body).map_err(|error| Refusal::not_json(&error.to_string()))?;
        target.push_str(message::target(&body));
        message::check(&body)?;
        let validate_only = ["validate_only", "validateOnly"]
            .iter()
            .any(|name| body[name] == Value::Bool(true));
        Ok(Checked {
            message: body["message"].take(),
            validate_only,
        })
    }

    fn behave(&self, behaviour: &Behaviour) -> Result<(), Refusal> {
        match behaviour {
            Behaviour::Dead { .. } => Err(Refusal::of("UNREGISTERED")),
            Behaviour::Throttled { .. } => Err(Refusal::of("QUOTA_EXCEEDED")),
            Behaviour::ServerError { status: code, .. } => {
                let code = code.unwrap_or(500);
                let refusal = Refusal::of(if code == 503 {
                    "UNAVAILABLE"
                } else {
                    "INTERNAL"
                });
                Err(Refusal {
                    status: status(code),
                    ..refusal
                })
            }
            Behaviour::RefuseCredential { reason } => Err(Refusal::named(
                reason.as_deref().unwrap_or("SENDER_ID_MISMATCH"),
                None,
            )),
            Behaviour::Refuse {
                reason,
                status: code,
            } => Err(Refusal::named(reason, *code)),
            _ => Ok(()),
        }
    }

    fn send(&self, head: &Parts, body: &Bytes) -> Reply {
        let mut target = String::new();
        let checked = match self.check(head, body, &mut target) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.record(
                    target,
                    None,
                    refusal.verdict(),
                    (Some(refusal.status), Some(refusal.word)),
                    None,
                );
                return Reply::Answer(json(refusal.status, refusal.body));
            }
        };
        let behaviour = self.shared.book.take(Gateway::Fcm, &target);
        if let Some(reply) = wire_reply(&behaviour, MALFORMED_STATUS) {
            let (verdict, status) = match &reply {
                Reply::Answer(response) => (Verdict::Malformed, Some(response.status())),
                _ => (Verdict::Unanswered, None),
            };
            self.record(
                target,
                Some(&checked.message),
                verdict,
                (status, None),
                None,
            );
            return reply;
        }
        if let Err(refusal) = self.behave(&behaviour) {
            let response = json(refusal.status, refusal.body.clone());
            let response = with_retry_after(response, retry_after(&behaviour, self.shared.now()));
            let answer = (Some(refusal.status), Some(refusal.word.clone()));
            self.record(
                target,
                Some(&checked.message),
                refusal.verdict(),
                answer,
                None,
            );
            return Reply::Answer(response);
        }
        let id = if checked.validate_only {
            "fake_message_id".to_owned()
        } else {
            Uuid::new_v4().simple().to_string()
        };
        let name = format!("projects/{}/messages/{id}", self.access.project_id());
        let response = json(StatusCode::OK, format!("{{\n  \"name\": \"{name}\"\n}}\n"));
        let remark = checked
            .validate_only
            .then_some(Cow::Borrowed("validate_only"));
        self.record(
            target,
            Some(&checked.message),
            Verdict::Accepted,
            (Some(StatusCode::OK), remark),
            Some(name),
        );
        if behaviour == (Behaviour::Goaway { abrupt: false }) {
            Reply::AnswerAndGoAway(response)
        } else {
            Reply::Answer(response)
        }
    }

    fn record(
        &self,
        token: String,
        message: Option<&Value>,
        verdict: Verdict,
        answer: (Option<StatusCode>, Option<Cow<'static, str>>),
        id: Option<String>,
    ) {
        self.shared.journal.record(Notification {
            at: self.shared.now(),
            gateway: Gateway::Fcm,
            token,
            topic: None,
            headers: BTreeMap::new(),
            payload: message.and_then(|message| RawValue::from_string(message.to_string()).ok()),
            verdict,
            status: answer.0.map(|status| status.as_u16()),
            reason: answer.1,
            id,
        });
    }

    fn token(&self, head: &Parts, body: &Bytes) -> Reply {
        let behaviour = self.shared.book.take(Gateway::FcmToken, "");
        if let Some(reply) = wire_reply(&behaviour, MALFORMED_STATUS) {
            self.shared
                .journal
                .count(Gateway::FcmToken, Verdict::Unanswered);
            return reply;
        }
        let granted = match &behaviour {
            Behaviour::Ok | Behaviour::SandboxOnly | Behaviour::Goaway { .. } => {
                self.access.grant(&head.method, body, self.shared.now())
            }
            Behaviour::Dead { .. } => Err((
                401,
                "invalid_client".to_owned(),
                "The OAuth client was not found.".to_owned(),
            )),
            Behaviour::Throttled { .. } => Err((
                429,
                "rate_limit_exceeded".to_owned(),
                "Too many requests.".to_owned(),
            )),
            Behaviour::ServerError { status, .. } => Err((
                status.unwrap_or(500),
                "internal_failure".to_owned(),
                "Backend error.".to_owned(),
            )),
            Behaviour::RefuseCredential { reason } => Err((
                400,
                reason.clone().unwrap_or_else(|| "invalid_grant".to_owned()),
                "Invalid JWT Signature.".to_owned(),
            )),
            Behaviour::Refuse { reason, status } => {
                Err((status.unwrap_or(400), reason.clone(), reason.clone()))
            }
            _ => Err((500, "internal_failure".to_owned(), String::new())),
        };
        let response = match granted {
            Ok(answer) => json(StatusCode::OK, answer),
            Err((code, error, description)) => {
                let body = serde_json::json!({ "error": error, "error_description": description });
                json(status(code), body.to_string())
            }
        };
        self.shared.journal.count(
            Gateway::FcmToken,
            Verdict::of_status(response.status().as_u16()),
        );
        let response = with_retry_after(response, retry_after(&behaviour, self.shared.now()));
        if behaviour == (Behaviour::Goaway { abrupt: false }) {
            Reply::AnswerAndGoAway(response)
        } else {
            Reply::Answer(response)
        }
    }
}

impl Service for Fcm {
    fn settings(&self) -> &Settings {
        self.shared.settings(Gateway::Fcm)
    }

    fn answer(&self, head: &Parts, body: &Bytes) -> Reply {
        if head.uri.path() == TOKEN_PATH {
            self.token(head, body)
        } else {
            self.send(head, body)
        }
    }
}
