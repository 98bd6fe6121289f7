//! Bodies of devices: how deep they are, and registrations, interests and reports, against another reader.

use domain::device::{Platform, Registration};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use server::fuzzing::{event, interests, is_too_deep, register};
use store::publishes::Event;

use crate::json::Json;
use crate::verdict::Verdict;

/// As in the file of defaults; the reader here goes deeper.
const DEPTH_MAX: usize = 64;
/// The longest refusal, in bytes.
const REFUSAL_LENGTH_MAX: usize = 320;

/// Checks a byte that says what the body is for, and a body.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, body)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let read = Json::read(body);
    if let Some(read) = &read {
        is_as_deep(body, read);
    }
    let instance = InstanceId::from_uuid(uuid::Uuid::nil());
    // Asked for where something was taken alone.
    let object = || read.as_ref().filter(|read| read.object().is_some());
    let says = || object().expect("it is an object, and not too deep");
    let found = match mode % 5 {
        0 => interests(body, DEPTH_MAX).map(|found| named(&found, says())),
        1 => event(instance, body, DEPTH_MAX).map(|found| {
            if let Some(found) = found {
                reported(&found, says());
            }
        }),
        platform => {
            let platform = Platform::ALL[usize::from(platform - 2)];
            register(instance, platform, body, DEPTH_MAX)
                .map(|found| registered(platform, &found, says()))
        }
    };
    match found {
        Ok(()) => Verdict::TAKEN,
        Err(why) => {
            assert!((1..=REFUSAL_LENGTH_MAX).contains(&why.len()), "{why}");
            assert!(!why.contains(char::is_control), "one line: {why:?}");
            Verdict::of(format!("refused: {why}"))
        }
    }
}

fn is_as_deep(body: &[u8], read: &Json) {
    let least = depth(read);
    for max in [1, 2, 3, 8, DEPTH_MAX] {
        // Of a name that stands twice the reader keeps one value, so it may be deeper.
        assert!(is_too_deep(body, max) || least <= max, "{least} over {max}");
    }
    if let Some(read) = Json::read_whole(body) {
        assert!(!is_too_deep(body, depth(&read)), "{least}");
    }
}

fn named(found: &[InterestName], says: &Json) {
    let found: Vec<&str> = found.iter().map(|name| name.as_str()).collect();
    let list = says.field("interests").and_then(Json::list);
    let mut given: Vec<&str> = list
        .expect("a list")
        .iter()
        .map(|name| name.text().expect("a text"))
        .collect();
    given.sort_unstable();
    given.dedup();
    assert_eq!(found, given);
}

fn reported(found: &Event, says: &Json) {
    let text = |name| says.field(name).and_then(Json::text);
    let kind = text("event").expect("what happened");
    assert!(found.kind.as_str().eq_ignore_ascii_case(kind));
    let publish = text("publishId").expect("a publish");
    assert!(found.publish.to_string().eq_ignore_ascii_case(publish));
    let device = text("deviceId").expect("a device");
    assert!(found.device.to_string().eq_ignore_ascii_case(device));
    let secs = says.field("timestampSecs").and_then(Json::whole);
    assert_eq!(Some(found.at.as_secs()), secs);
    if let Some(user) = &found.user {
        assert_eq!(text("userId"), Some(user.as_str()));
    }
}

fn registered(platform: Platform, found: &Registration, says: &Json) {
    let text = |name| says.field(name).and_then(Json::text);
    let token = text("token").expect("a token");
    assert_eq!(found.token.platform(), platform);
    match platform {
        Platform::Apns => assert_eq!(found.token.identity(), token.to_ascii_lowercase()),
        Platform::Fcm => assert_eq!(found.token.identity(), token),
        // A push subscription, which has a target of its own.
        Platform::Web => {}
    }
    let bundle = text("bundleIdentifier").filter(|_| platform == Platform::Apns);
    assert_eq!(found.bundle_id.as_ref().map(|id| id.as_str()), bundle);
    let kept = Json::read(found.metadata.as_json().as_bytes()).expect("it is JSON");
    match says.field("metadata") {
        Some(given) => assert!(kept.means(given), "{kept:?}\nis not\n{given:?}"),
        None => assert_eq!(found.metadata.as_json(), "{}"),
    }
}

/// An empty object is one deep.
fn depth(value: &Json) -> usize {
    match value {
        Json::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Json::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
