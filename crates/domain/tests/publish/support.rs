//! Bodies, and what becomes of them.

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::payload::{Origin, Payloads, Rendered};
use domain::publish::{AudienceKind, PublishError, PublishId, PublishRequest};
use serde_json::{Value, json};

pub(crate) const ACCEPTED: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn parse(kind: AudienceKind, body: &Value) -> Result<PublishRequest, PublishError> {
    PublishRequest::parse(kind, body.to_string().as_bytes())
}

pub(crate) fn refusal(kind: AudienceKind, body: &Value) -> String {
    parse(kind, body).unwrap_err().to_string()
}

pub(crate) fn interests(rest: Value) -> Value {
    let mut body = json!({"interests": ["hello"]});
    body.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    body
}

pub(crate) fn origin() -> Origin {
    Origin {
        instance: InstanceId::parse("8f9a6e22-2483-49aa-8552-125f1a4c5781").unwrap(),
        publish: PublishId::parse("pubid-33f3f68e-b0c5-438f-b50f-fae93f6c48df").unwrap(),
        send_at: ACCEPTED,
        expires_at: None,
        // Not quite ten seconds later, which counts as nine.
        now: Timestamp::from_millis(ACCEPTED.as_millis() + 9_990),
    }
}

pub(crate) fn payloads(part: Value) -> Payloads {
    parse(AudienceKind::Interests, &interests(part))
        .unwrap()
        .payloads
}

pub(crate) fn apns(part: Value) -> (Value, domain::payload::ApnsNotification) {
    match payloads(json!({"apns": part})).render(Platform::Apns, &origin()) {
        Some(Rendered::Apns(rendered)) => {
            (serde_json::from_slice(&rendered.body).unwrap(), rendered)
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn fcm(part: Value) -> Value {
    match payloads(json!({"fcm": part})).render(Platform::Fcm, &origin()) {
        Some(Rendered::Fcm(rendered)) => {
            serde_json::from_slice(&rendered.body(r#"t"o\ken"#)).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn web(part: Value) -> (Value, domain::payload::WebPushMessage) {
    match payloads(json!({"web": part})).render(Platform::Web, &origin()) {
        Some(Rendered::Web(rendered)) => (
            serde_json::from_slice(&rendered.plaintext).unwrap(),
            rendered,
        ),
        other => panic!("{other:?}"),
    }
}
