//! A publish as the gateways get it, against a model that was written apart: [`crate::model`]. What the program takes must
//! also pass the emulated gateways, whose rules were written apart as well.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::payload::{ApnsNotification, Origin, Rendered, WebPushMessage};
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use http::{HeaderValue, Request};
use serde_json::value::RawValue;

use crate::heads::{self, Times};
use crate::json::Json;
use crate::model;
use crate::verdict::Verdict;

/// An APNs or FCM token with everything that may stand in one.
const FCM_TOKEN: &str = "a\"b\\c:d";
const APNS_TOKEN: &str = "aabbccddaabbccddaabbccddaabbccddaabbccddaabbccddaabbccddaabbccdd";

/// Checks a body of a publish to users, and behind a NUL the times of [`Times::read`].
///
/// # Panics
/// If program and model differ.
pub fn check(data: &[u8]) -> Verdict {
    let split = data.iter().position(|byte| *byte == 0);
    let (data, behind) = match split {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &data[data.len()..]),
    };
    let Ok(request) = PublishRequest::parse(AudienceKind::Users, data) else {
        return Verdict::REFUSED;
    };
    // Too deep for the model.
    let Some(body) = Json::read(data) else {
        return Verdict::UNREAD;
    };
    let times = Times::read(&String::from_utf8_lossy(behind));
    let origin = Origin {
        instance: InstanceId::parse(model::INSTANCE).expect("it is one"),
        publish: PublishId::parse(model::PUBLISH).expect("it is one"),
        send_at: Timestamp::from_millis(times.send_at),
        expires_at: times.expires_at.map(Timestamp::from_millis),
        now: Timestamp::from_millis(times.now),
    };
    let mut went = String::from("taken");
    for platform in Platform::ALL {
        let part = body.field(platform.as_str());
        let rendered = request.payloads.render(platform, &origin);
        assert_eq!(part.is_some(), rendered.is_some(), "{platform}");
        let (Some(part), Some(rendered)) = (part, rendered) else {
            continue;
        };
        let gives_up_at = request.payloads.expires_at(platform, origin.send_at);
        assert_eq!(
            gives_up_at.as_millis(),
            heads::gives_up_at(platform.as_str(), part, &times)
        );
        let modelled = match rendered {
            Rendered::Apns(notification) => apns(part, &notification, &times),
            Rendered::Web(message) => web(part, &message, &times),
            Rendered::Fcm(message) => fcm(part, &message.body(FCM_TOKEN), data, &times),
        };
        went.push_str(if modelled { " " } else { " unmodelled " });
        went.push_str(platform.as_str());
    }
    Verdict::of(went)
}

fn web(part: &Json, message: &WebPushMessage, times: &Times) -> bool {
    same(&model::web(part), &message.plaintext);
    assert!(message.plaintext.len() <= 3993 && message.ttl_secs <= 2_419_200);
    let found = heads::Web {
        ttl_secs: i64::try_from(message.ttl_secs).expect("at most four weeks"),
        urgency: message.urgency.map(|urgency| urgency.as_str().to_owned()),
        topic: message.topic.clone(),
    };
    assert_eq!(found, heads::web(part, times));
    true
}

fn apns(part: &Json, notification: &ApnsNotification, times: &Times) -> bool {
    same(&model::apns(part), &notification.body);
    let found = heads::Apns {
        push_type: notification.push_type.as_str().to_owned(),
        topic_suffix: notification.push_type.topic_suffix(),
        priority: notification.priority.map(i64::from),
        expiration: notification.expiration,
        collapse_id: notification.collapse_id.clone(),
    };
    assert_eq!(found, heads::apns(part, times));
    let topic = format!("com.example{}", found.topic_suffix);
    let mut request = Request::post(format!("/3/device/{APNS_TOKEN}"))
        .header("apns-topic", topic)
        .header("apns-push-type", found.push_type);
    if let Some(priority) = found.priority {
        request = request.header("apns-priority", priority.to_string());
    }
    if let Some(expiration) = found.expiration {
        request = request.header("apns-expiration", expiration.to_string());
    }
    if let Some(id) = &found.collapse_id {
        // Visible as bytes at least: no control characters, so no header is split.
        let value = HeaderValue::from_str(id).expect("no control characters");
        if value.to_str().is_ok() {
            request = request.header("apns-collapse-id", value);
        }
    }
    let (head, ()) = request.body(()).expect("it is a request").into_parts();
    let verdict = emulator::fuzzing::apns(&head, &notification.body.clone().into());
    assert_eq!(verdict, Ok(()), "APNs refuses what was taken");
    true
}

/// Whether the model knows all of it.
fn fcm(part: &Json, body: &[u8], data: &[u8], times: &Times) -> bool {
    let written: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
    assert_eq!(
        written["message"]["token"], FCM_TOKEN,
        "the token is spliced in"
    );
    let ttl = heads::fcm_ttl(part, times);
    let ttl_text = ttl.map_or(serde_json::Value::Null, |secs| format!("{secs}s").into());
    assert_eq!(written["message"]["android"]["ttl"], ttl_text);
    // All other parts in v1's own terms are laid over and are Google's to refuse.
    if ["android", "apns", "webpush", "fcm_options"]
        .iter()
        .any(|native| part.field(native).is_some())
    {
        return false;
    }
    let has_odd_arguments = part.field("notification").is_some_and(|shown| {
        ["body_loc_args", "title_loc_args"].iter().any(|name| {
            shown.field(name).is_some_and(|list| {
                list.list()
                    .is_none_or(|list| list.iter().any(|entry| entry.text().is_none()))
            })
        })
    });
    if has_odd_arguments {
        return false;
    }
    let found = opened(body);
    let expected = model::fcm(part, FCM_TOKEN, &raw_data(data), ttl);
    assert!(found.means(&expected), "{found:?}\nis not\n{expected:?}");
    if let Err(why) = emulator::fuzzing::fcm(&written) {
        // The two rules that the program leaves to Google: sizes are counted there by another measure, and arguments may
        // lack their key.
        assert!(
            why.contains("too big") || why.contains("loc_key"),
            "FCM refuses what was taken: {why}"
        );
    }
    true
}

/// A message for FCM with the `pusher` entry of its data as an object, which is a text that holds JSON.
pub(crate) fn opened(body: &[u8]) -> Json {
    let mut found = Json::read(body).expect("it is JSON");
    if let Json::Object(outer) = &mut found
        && let Some(Json::Object(message)) = outer.get_mut("message")
        && let Some(Json::Object(entries)) = message.get_mut("data")
        && let Some(pusher) = entries.get_mut("pusher")
    {
        let inner = pusher
            .text()
            .and_then(|text| Json::read(text.as_bytes()))
            .expect("the pusher entry is a text that holds JSON");
        *pusher = inner;
    }
    found
}

/// How the values of `fcm.data` were written.
fn raw_data(body: &[u8]) -> BTreeMap<String, String> {
    type Raw<'a> = BTreeMap<String, &'a RawValue>;
    let at = |raw: &str, name: &str| -> Option<String> {
        let fields: Raw<'_> = serde_json::from_str(raw).ok()?;
        fields.get(name).map(|raw| raw.get().to_owned())
    };
    let data = std::str::from_utf8(body)
        .ok()
        .and_then(|body| at(body, "fcm"))
        .and_then(|fcm| at(&fcm, "data"));
    let fields: Option<Raw<'_>> = data
        .as_deref()
        .and_then(|data| serde_json::from_str(data).ok());
    fields
        .unwrap_or_default()
        .into_iter()
        .map(|(name, raw)| (name, raw.get().to_owned()))
        .collect()
}

fn same(expected: &Json, written: &[u8]) {
    let found = Json::read(written).expect("it is JSON");
    assert!(found.means(expected), "{found:?}\nis not\n{expected:?}");
}
