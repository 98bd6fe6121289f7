//! The body of a publish: what is taken keeps every limit, reads back from how it is stored, and what is refused is refused
//! in a short line that is no secret of the caller's.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::payload::{Origin, Payloads};
use domain::publish::{
    Audience, AudienceKind, INTERESTS_PER_PUBLISH_MAX, PUBLISH_BODY_LENGTH_MAX, PublishId,
    PublishRequest, USERS_PER_PUBLISH_MAX,
};

use crate::json::Json;

/// The longest refusal, in bytes; it names a field, and a name is as long as the body makes it.
const REFUSAL_LENGTH_MAX: usize = 1024;

/// Checks a byte that says which kind of audience, and a body.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let kind = if first & 1 == 0 {
        AudienceKind::Interests
    } else {
        AudienceKind::Users
    };
    match PublishRequest::parse(kind, body) {
        Ok(request) => taken(kind, body, &request),
        Err(error) => {
            let text = error.to_string();
            let names = body.len();
            assert!(text.len() <= REFUSAL_LENGTH_MAX + names, "{text}");
        }
    }
}

fn taken(kind: AudienceKind, body: &[u8], request: &PublishRequest) {
    assert!(body.len() <= PUBLISH_BODY_LENGTH_MAX);
    assert_eq!(request.audience.kind(), kind);
    let named: Vec<&str> = match &request.audience {
        Audience::Interests(names) => {
            assert!((1..=INTERESTS_PER_PUBLISH_MAX).contains(&names.len()));
            names.iter().map(|name| name.as_str()).collect()
        }
        Audience::Users(users) => {
            assert!((1..=USERS_PER_PUBLISH_MAX).contains(&users.len()));
            users.iter().map(|user| user.as_str()).collect()
        }
        Audience::List(_) => panic!("a body names its audience itself"),
    };
    if let Some(read) = Json::read(body) {
        let mut given: Vec<&str> = read
            .field(kind.as_str())
            .and_then(Json::list)
            .expect("a list")
            .iter()
            .map(|entry| entry.text().expect("a text"))
            .collect();
        given.sort_unstable();
        given.dedup();
        assert_eq!(named, given, "the audience is what was named");
        assert!(
            read.field("apns").is_some()
                || read.field("fcm").is_some()
                || read.field("web").is_some()
        );
    }
    // What a store keeps is read back as the same.
    let stored = serde_json::to_string(&request.payloads).expect("it is written");
    let again: Payloads = serde_json::from_str(&stored).expect("what was written reads back");
    let origin = Origin {
        instance: InstanceId::from_uuid(uuid::Uuid::nil()),
        publish: PublishId::from_uuid(uuid::Uuid::nil()),
        send_at: Timestamp::from_secs(1000),
        expires_at: request.expires_at,
        now: Timestamp::from_secs(1001),
    };
    for platform in domain::device::Platform::ALL {
        assert_eq!(
            request.payloads.render(platform, &origin),
            again.render(platform, &origin)
        );
    }
    for now in [i64::MIN, 0, 1_700_000_000, i64::MAX] {
        let _ = request.check_times(Timestamp::from_secs(now));
    }
}
