//! What the emulators are sent: requests for APNs, FCM and a Web Push service, frames of a browser, orders to misbehave.

use bytes::Bytes;
use emulator::{Behaviour, Change, Plan, fuzzing};
use http::{HeaderName, HeaderValue, Request};

use crate::json::Json;
use crate::verdict::Verdict;

/// The fields of a message. Firebase: REST resource `projects.messages`.
const MESSAGE_FIELDS: [&str; 10] = [
    "android",
    "apns",
    "condition",
    "data",
    "fcm_options",
    "name",
    "notification",
    "token",
    "topic",
    "webpush",
];

/// Checks a byte that says what the rest is.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    match mode % 6 {
        0 => apns(rest),
        1 => fcm(rest),
        2 => web_push(rest),
        3 => browser(rest),
        4 => behaviour(rest),
        _ => change(rest),
    }
}

fn fcm(rest: &[u8]) -> Verdict {
    let Ok(body) = serde_json::from_slice(rest) else {
        return Verdict::UNREAD;
    };
    let verdict = fuzzing::fcm(&body);
    if let (Ok(()), Some(body)) = (&verdict, Json::read(rest)) {
        documented(&body);
    }
    Verdict::taken_if(verdict.is_ok())
}

/// What a message has that FCM takes.
fn documented(body: &Json) {
    let message = body.field("message").and_then(Json::object);
    let message = message.expect("a message is an object");
    let given = || message.iter().filter(|(_, value)| **value != Json::Null);
    for name in message.keys() {
        // The JSON mapping of protocol buffers: either spelling.
        let snake: String = name
            .chars()
            .flat_map(|letter| {
                let apart = letter.is_ascii_uppercase().then_some('_');
                apart.into_iter().chain([letter.to_ascii_lowercase()])
            })
            .collect();
        assert!(MESSAGE_FIELDS.contains(&snake.as_str()), "{name}");
    }
    let targets = given().filter(|(name, _)| ["token", "topic", "condition"].contains(&&***name));
    assert_eq!(targets.count(), 1, "one target");
    for (name, value) in given() {
        match name.as_str() {
            "token" => {
                let token = value.text().expect("a text");
                assert!((1..=4096).contains(&token.len()));
                assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            "data" => texts(value),
            "android" => android(value),
            "notification" => {
                let fields = value.object().expect("an object");
                for (name, value) in fields {
                    assert!(["title", "body", "image"].contains(&&**name), "{name}");
                    assert!(*value == Json::Null || value.text().is_some());
                }
            }
            _ => {}
        }
    }
}

fn android(android: &Json) {
    if let Some(ttl) = android.field("ttl") {
        let secs = ttl.text().and_then(|text| text.strip_suffix('s'));
        let secs: f64 = secs.expect("seconds").parse().expect("a number");
        assert!((0.0..=2_419_200.0).contains(&secs), "{secs}");
    }
    if let Some(priority) = android.field("priority") {
        assert!(matches!(priority.text(), Some("NORMAL" | "HIGH")));
    }
    if let Some(data) = android.field("data") {
        texts(data);
    }
    if let Some(colour) = android
        .field("notification")
        .and_then(|shown| shown.field("color"))
    {
        let digits = colour.text().and_then(|text| text.strip_prefix('#'));
        let digits = digits.expect("a colour");
        assert!(digits.len() == 6 && u32::from_str_radix(digits, 16).is_ok());
    }
}

/// Data is text by text, under names that Google has not kept for itself.
fn texts(data: &Json) {
    for (name, value) in data.object().expect("an object") {
        assert!(value.text().is_some(), "{name}");
        assert!(name != "from" && name != "message_type", "{name}");
        assert!(
            !name.starts_with("google") && !name.starts_with("gcm"),
            "{name}"
        );
    }
}

/// Firefox's push protocol: what is taken says what it is, and has what that needs.
fn browser(rest: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(rest) else {
        return Verdict::UNREAD;
    };
    let is_taken = fuzzing::is_from_browser(text);
    if text.trim() == "{}" {
        assert!(is_taken, "an empty object is a ping");
    } else if let (true, Some(message)) = (is_taken, Json::read(rest)) {
        let text = |name| message.field(name).and_then(Json::text);
        // A reader of typed fields takes a list for them, too.
        if message.object().is_some() {
            match text("messageType").expect("it says what it is") {
                "register" | "unregister" => assert!(text("channelID").is_some()),
                "nack" => assert!(text("version").is_some()),
                "ack" => {
                    let updates = message.field("updates").and_then(Json::list);
                    for update in updates.unwrap_or_default() {
                        let version = update
                            .field("version")
                            .or(update.list().and_then(<[_]>::first));
                        assert!(version.is_some_and(|version| version.text().is_some()));
                    }
                }
                _ => {}
            }
        } else {
            assert!(message.list().is_some_and(|list| !list.is_empty()));
        }
    }
    Verdict::taken_if(is_taken)
}

fn change(rest: &[u8]) -> Verdict {
    let Ok(change) = serde_json::from_slice::<Change>(rest) else {
        return Verdict::REFUSED;
    };
    let again = serde_json::to_vec(&change).expect("it is written");
    assert_eq!(serde_json::from_slice::<Change>(&again).ok(), Some(change));
    Verdict::TAKEN
}

/// Lines of headers, an empty line, a body.
fn head_and_body(rest: &[u8]) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
    let split = rest.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match split {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (rest, &rest[rest.len()..]),
    };
    let headers = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?;
        Some((name, value))
    });
    (headers.collect(), Bytes::copy_from_slice(body))
}

fn apns(rest: &[u8]) -> Verdict {
    let end = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(rest.len());
    let (path, rest) = rest.split_at(end);
    let (headers, body) = head_and_body(rest.get(1..).unwrap_or_default());
    let Ok(mut request) = Request::post(path).body(()) else {
        return Verdict::UNREAD;
    };
    request.headers_mut().extend(headers);
    let (head, ()) = request.into_parts();
    let verdict = fuzzing::apns(&head, &body);
    if verdict.is_ok() {
        assert!(body.len() <= 5120 && head.headers.contains_key("apns-topic"));
        assert!(head.uri.path().starts_with("/3/device/"));
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        assert!(
            read.is_object() || read.is_null(),
            "an object, if it is not too deep to tell"
        );
    }
    Verdict::taken_if(verdict.is_ok())
}

fn web_push(rest: &[u8]) -> Verdict {
    let (headers, body) = head_and_body(rest);
    let headers = headers.into_iter().collect();
    let verdict = fuzzing::web_push(&headers, &body);
    if let Ok(ttl) = &verdict {
        assert!(*ttl <= u64::from(u32::MAX) && body.len() <= 4096);
    }
    // Nobody can have made it for keys that were not there before.
    assert!(fuzzing::decrypt(&body).is_err());
    Verdict::taken_if(verdict.is_ok())
}

fn behaviour(rest: &[u8]) -> Verdict {
    let Ok(behaviour) = serde_json::from_slice::<Behaviour>(rest) else {
        return Verdict::REFUSED;
    };
    if behaviour.check().is_err() {
        return Verdict::REFUSED;
    }
    let plan = Plan::from(behaviour);
    let written = serde_json::to_vec(&plan).expect("it is written");
    let again: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
    assert!(again["behaviour"].is_string());
    Verdict::TAKEN
}
