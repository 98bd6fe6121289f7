//! Lines of a file of devices: what is imported is written again as a line that says the same, and what is refused shows no
//! value.

use domain::clock::Timestamp;
use store::transfer::ExportedDevice;

#[path = "../../crates/server/src/cli/device_line.rs"]
mod line;

/// Checks a line.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let device = match line::parse(data) {
        Ok(device) => device,
        Err(why) => {
            assert!(
                why.len() < 300 && !why.contains('\n'),
                "one short line: {why}"
            );
            return;
        }
    };
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
