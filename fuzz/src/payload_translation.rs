//! A publish as the gateways get it, against a model that was written apart: [`crate::model`]. What the program takes must
//! also pass the emulated gateways, whose rules were written apart as well.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::payload::{Origin, Rendered};
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use http::{HeaderValue, Request};
use serde_json::value::RawValue;

use crate::json::Json;
use crate::model;

/// An APNs or FCM token with everything that may stand in one.
const FCM_TOKEN: &str = "a\"b\\c:d";
const APNS_TOKEN: &str = "aabbccddaabbccddaabbccddaabbccddaabbccddaabbccddaabbccddaabbccdd";

/// Checks a body of a publish to users.
///
/// # Panics
/// If program and model differ.
pub fn check(data: &[u8]) {
    let Ok(request) = PublishRequest::parse(AudienceKind::Users, data) else {
        return;
    };
    // Too deep for the model.
    let Some(body) = Json::read(data) else { return };
    let now = Timestamp::from_secs(1_700_000_000);
    let publish = PublishId::parse(model::PUBLISH).expect("it is one");
    let origin = Origin {
        instance: InstanceId::parse(model::INSTANCE).expect("it is one"),
        publish,
        send_at: now,
        expires_at: None,
        now,
    };
    for platform in Platform::ALL {
        let part = body.field(platform.as_str());
        let rendered = request.payloads.render(platform, &origin);
        assert_eq!(part.is_some(), rendered.is_some(), "{platform}");
        let (Some(part), Some(rendered)) = (part, rendered) else {
            continue;
        };
        match rendered {
            Rendered::Apns(notification) => apns(part, &notification),
            Rendered::Web(message) => {
                same(&model::web(part), &message.plaintext);
                assert!(message.plaintext.len() <= 3993 && message.ttl_secs <= 2_419_200);
                let ttl = part.field("time_to_live").and_then(Json::whole);
                assert_eq!(
                    i64::try_from(message.ttl_secs).ok(),
                    Some(ttl.unwrap_or(2_419_200))
                );
            }
            Rendered::Fcm(message) => fcm(part, &message.body(FCM_TOKEN), data),
        }
    }
}

fn apns(part: &Json, notification: &domain::payload::ApnsNotification) {
    same(&model::apns(part), &notification.body);
    let mut request = Request::post(format!("/3/device/{APNS_TOKEN}"))
        .header("apns-topic", "com.example")
        .header("apns-push-type", notification.push_type.as_str());
    if let Some(priority) = notification.priority {
        request = request.header("apns-priority", priority.to_string());
    }
    if let Some(expiration) = notification.expiration {
        request = request.header("apns-expiration", expiration.to_string());
    }
    if let Some(id) = &notification.collapse_id {
        // Visible as bytes at least: no control characters, so no header is split.
        let value = HeaderValue::from_str(id).expect("no control characters");
        if value.to_str().is_ok() {
            request = request.header("apns-collapse-id", value);
        }
    }
    let (head, ()) = request.body(()).expect("it is a request").into_parts();
    let verdict = emulator::fuzzing::apns(&head, &notification.body.clone().into());
    assert_eq!(verdict, Ok(()), "APNs refuses what was taken");
}

fn fcm(part: &Json, body: &[u8], data: &[u8]) {
    let written: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
    assert_eq!(
        written["message"]["token"], FCM_TOKEN,
        "the token is spliced in"
    );
    // Parts in v1's own terms are laid over and are Google's to refuse.
    if ["android", "apns", "webpush", "fcm_options"]
        .iter()
        .any(|native| part.field(native).is_some())
    {
        return;
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
        return;
    }
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
    let expected = model::fcm(part, FCM_TOKEN, &raw_data(data));
    assert!(found.means(&expected), "{found:?}\nis not\n{expected:?}");
    if let Err(why) = emulator::fuzzing::fcm(&written) {
        // The two rules that the program leaves to Google: sizes are counted there by another measure, and arguments may
        // lack their key.
        assert!(
            why.contains("too big") || why.contains("loc_key"),
            "FCM refuses what was taken: {why}"
        );
    }
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
