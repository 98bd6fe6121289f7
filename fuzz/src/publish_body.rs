//! The body of a publish: what is taken keeps every limit, is what the body says, and reads back from how it is stored; what is
//! refused is refused in one short line; the user name and password of a webhook are shown by nothing.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::payload::{Origin, Payloads};
use domain::publish::{
    Audience, AudienceKind, INTERESTS_PER_PUBLISH_MAX, OwnWebhook, PUBLISH_BODY_LENGTH_MAX,
    PublishId, PublishRequest, USERS_PER_PUBLISH_MAX,
};
use url::Url;

use crate::json::Json;
use crate::verdict::Verdict;

/// The longest refusal, in bytes, however long the names in the body are.
const REFUSAL_LENGTH_MAX: usize = 320;
/// What is asked to be hidden is long enough not to stand anywhere else by chance.
const TELLING_LENGTH_MIN: usize = 32;

/// Checks a byte that says which kind of audience, and a body.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((first, body)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let kind = if first & 1 == 0 {
        AudienceKind::Interests
    } else {
        AudienceKind::Users
    };
    match PublishRequest::parse(kind, body) {
        Ok(request) => {
            taken(kind, body, &request);
            Verdict::TAKEN
        }
        Err(error) => {
            let text = error.to_string();
            assert!((1..=REFUSAL_LENGTH_MAX).contains(&text.len()), "{text}");
            assert!(!text.contains(char::is_control), "one line: {text:?}");
            Verdict::REFUSED
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
        is_what_it_says(&read, kind, &named, request);
    }
    if let Some(webhook) = &request.webhook {
        brought(webhook, request);
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

/// By another reader of the body.
fn is_what_it_says(read: &Json, kind: AudienceKind, named: &[&str], request: &PublishRequest) {
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
    for platform in domain::device::Platform::ALL {
        let is_given = read.field(platform.as_str()).is_some();
        assert_eq!(request.payloads.has(platform), is_given, "{platform}");
    }
    let dry = read.field("dryRun").and_then(Json::bool);
    assert_eq!(request.dry_run, dry.unwrap_or(false));
    let has = |name| read.field(name).is_some();
    assert_eq!(request.send_at.is_some(), has("sendAt"));
    assert_eq!(request.expires_at.is_some(), has("expiresAt"));
    let url = read
        .field("webhookUrl")
        .map(|url| url.text().expect("a text"));
    let kept = request.webhook.as_ref().map(|webhook| webhook.url.reveal());
    assert_eq!(kept, url.filter(|url| !url.is_empty()));
}

/// A webhook of its own: the URL that is called has no user info, and what there was of it is not shown.
fn brought(webhook: &OwnWebhook, request: &PublishRequest) {
    let whole = Url::parse(webhook.url.reveal()).expect("it is a URL");
    let (bare, user) = webhook.url.split();
    let bare = Url::parse(&bare).expect("it is a URL without user info too");
    assert!(matches!(bare.scheme(), "http" | "https") && bare.has_host());
    assert!(bare.username().is_empty() && bare.password().is_none());
    assert_eq!(
        (bare.host(), bare.port(), bare.path(), bare.query()),
        (whole.host(), whole.port(), whole.path(), whole.query())
    );
    let has_user = !whole.username().is_empty() || whole.password().is_some();
    assert_eq!(user.is_some(), has_user);
    let shown = format!("{:?} {:?}", webhook, request.webhook);
    let secrets = [Some(webhook.url.reveal()), whole.password()];
    for secret in secrets.into_iter().flatten() {
        assert!(
            secret.len() < TELLING_LENGTH_MIN || !shown.contains(secret),
            "{shown}"
        );
    }
}
