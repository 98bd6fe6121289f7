//! What the emulators are sent: requests for APNs, FCM and a Web Push service, frames of a browser, orders to misbehave.

use bytes::Bytes;
use emulator::{Behaviour, Change, Plan, fuzzing};
use http::{HeaderName, HeaderValue, Request};

/// Checks a byte that says what the rest is.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    match mode % 6 {
        0 => apns(rest),
        1 => {
            if let Ok(body) = serde_json::from_slice(rest) {
                let verdict = fuzzing::fcm(&body);
                let has_message = body["message"].is_object();
                assert!(has_message || verdict.is_err());
            }
        }
        2 => web_push(rest),
        3 => {
            if let Ok(text) = std::str::from_utf8(rest) {
                let _ = fuzzing::is_from_browser(text);
            }
        }
        4 => behaviour(rest),
        _ => {
            if let Ok(change) = serde_json::from_slice::<Change>(rest) {
                let again = serde_json::to_vec(&change).expect("it is written");
                assert_eq!(serde_json::from_slice::<Change>(&again).ok(), Some(change));
            }
        }
    }
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

fn apns(rest: &[u8]) {
    let end = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(rest.len());
    let (path, rest) = rest.split_at(end);
    let (headers, body) = head_and_body(rest.get(1..).unwrap_or_default());
    let Ok(mut request) = Request::post(path).body(()) else {
        return;
    };
    request.headers_mut().extend(headers);
    let (head, ()) = request.into_parts();
    if fuzzing::apns(&head, &body).is_ok() {
        assert!(body.len() <= 5120 && head.headers.contains_key("apns-topic"));
        assert!(head.uri.path().starts_with("/3/device/"));
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        assert!(
            read.is_object() || read.is_null(),
            "an object, if it is not too deep to tell"
        );
    }
}

fn web_push(rest: &[u8]) {
    let (headers, body) = head_and_body(rest);
    let headers = headers.into_iter().collect();
    if let Ok(ttl) = fuzzing::web_push(&headers, &body) {
        assert!(ttl <= u64::from(u32::MAX) && body.len() <= 4096);
    }
    // Nobody can have made it for keys that were not there before.
    assert!(fuzzing::decrypt(&body).is_err());
}

fn behaviour(rest: &[u8]) {
    let Ok(behaviour) = serde_json::from_slice::<Behaviour>(rest) else {
        return;
    };
    if behaviour.check().is_err() {
        return;
    }
    let plan = Plan::from(behaviour);
    let written = serde_json::to_vec(&plan).expect("it is written");
    let again: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
    assert!(again["behaviour"].is_string());
}
