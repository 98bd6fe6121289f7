//! Lines of a file of devices: what is imported is all that the line says, and is written again as a line that says the same;
//! what is refused shows no value.

use domain::clock::Timestamp;
use store::transfer::{DeviceImport, ExportedDevice};

use crate::json::Json;
use crate::verdict::Verdict;

#[path = "../../crates/server/src/cli/device_line.rs"]
mod line;

/// Checks a line.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let device = match line::parse(data) {
        Ok(device) => device,
        Err(why) => {
            assert!(
                why.len() < 300 && !why.contains('\n'),
                "one short line: {why}"
            );
            return Verdict::REFUSED;
        }
    };
    // What is too deep for this reader is in `metadata`.
    if let Some(read) = Json::read(data) {
        is_all_of_it(&device, &read);
    }
    is_written_the_same(&device);
    Verdict::TAKEN
}

/// Nothing that the line says is dropped, or comes from anywhere else.
fn is_all_of_it(device: &DeviceImport, read: &Json) {
    assert!(read.object().is_some(), "a device is an object");
    let text = |name| read.field(name).and_then(Json::text);
    let platform = text("platform").expect("a platform");
    assert_eq!(device.token.platform().as_str(), platform);
    let token = text("token").expect("a token");
    match platform {
        "apns" => assert_eq!(device.token.identity(), token.to_ascii_lowercase()),
        "fcm" => assert_eq!(device.token.identity(), token),
        // A push subscription, which has a target of its own.
        _ => {}
    }
    assert_eq!(device.id_is_known, text("id").is_some());
    if let Some(id) = text("id") {
        assert!(device.id.to_string().eq_ignore_ascii_case(id), "{id}");
    }
    let bundle = text("bundleIdentifier").filter(|_| platform == "apns");
    assert_eq!(device.bundle_id.as_ref().map(|id| id.as_str()), bundle);
    assert_eq!(
        device.user.as_ref().map(|user| user.as_str()),
        text("userId")
    );
    let listed = read.field("interests").and_then(Json::list);
    let mut interests: Vec<&str> = listed
        .unwrap_or_default()
        .iter()
        .map(|name| name.text().expect("a text"))
        .collect();
    interests.sort_unstable();
    interests.dedup();
    let kept: Vec<&str> = device.interests.iter().map(|name| name.as_str()).collect();
    assert_eq!(kept, interests);
    match (&device.metadata, read.field("metadata")) {
        (None, None) => {}
        (Some(kept), Some(given)) => {
            let kept = Json::read(kept.as_json().as_bytes()).expect("it is JSON");
            assert!(kept.means(given), "{kept:?}\nis not\n{given:?}");
        }
        (kept, given) => panic!("{kept:?} of {given:?}"),
    }
    assert_eq!(device.environment.is_some(), text("environment").is_some());
    assert_eq!(
        device.registered_at,
        text("registeredAt").and_then(Timestamp::parse_rfc3339)
    );
}

fn is_written_the_same(device: &DeviceImport) {
    let exported = ExportedDevice {
        id: device.id,
        token: device.token.clone(),
        bundle_id: device.bundle_id.clone(),
        environment: device.environment.unwrap_or_default(),
        metadata: device.metadata.clone().unwrap_or_default(),
        user: device.user.clone(),
        interests: device.interests.clone(),
        registered_at: device.registered_at.unwrap_or(Timestamp::from_millis(0)),
    };
    let mut written = Vec::new();
    line::write(&exported, &mut written).expect("it is written");
    assert_eq!(written.pop(), Some(b'\n'));
    assert!(!written.contains(&b'\n'), "one device is one line");
    let again = line::parse(&written).expect("what was written reads");
    assert_eq!(again.id, device.id);
    assert!(again.id_is_known);
    assert_eq!(again.token, device.token);
    assert_eq!(again.bundle_id, device.bundle_id);
    assert_eq!(again.environment.unwrap_or_default(), exported.environment);
    assert_eq!(again.metadata.unwrap_or_default(), exported.metadata);
    assert_eq!(again.user, device.user);
    assert_eq!(again.interests, device.interests);
    assert_eq!(again.registered_at, Some(exported.registered_at));
}
