//! Gateway tokens as client SDKs send them, and the addresses in push subscriptions: what is taken is in its one form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::device::{GatewayToken, Platform, WebPushSubscription};
use gateway::Guard;

use crate::verdict::Verdict;

/// Checks a byte that says which platform (or that what follows is a subscription's JSON, not yet in base64), and a token.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let encoded;
    let (platform, token) = if mode & 3 == 3 {
        encoded = STANDARD.encode(rest);
        (Platform::Web, encoded.as_str())
    } else {
        let Ok(text) = std::str::from_utf8(rest) else {
            return Verdict::UNREAD;
        };
        (Platform::ALL[usize::from(mode & 3)], text)
    };
    let Ok(taken) = GatewayToken::parse(platform, token) else {
        return Verdict::REFUSED;
    };
    assert_eq!(taken.platform(), platform);
    let keys = taken.keys();
    let again = GatewayToken::from_parts(
        platform,
        taken.identity(),
        keys.as_ref().map(|keys| &keys[..]),
    );
    assert_eq!(again.as_ref(), Some(&taken), "a store keeps all of it");
    let shown = format!("{taken:?}");
    assert!(
        token.len() < 20 || !shown.contains(token),
        "a token is a secret"
    );
    match &taken {
        GatewayToken::Apns(hex) => assert!(
            hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                && hex.eq_ignore_ascii_case(token)
        ),
        GatewayToken::Fcm(kept) => assert_eq!(&**kept, token),
        GatewayToken::Web(subscription) => subscribed(subscription),
    }
    Verdict::TAKEN
}

fn subscribed(subscription: &WebPushSubscription) {
    let again = WebPushSubscription::from_json(subscription.to_json().as_bytes());
    assert_eq!(
        again.as_ref(),
        Ok(subscription),
        "its one form is a fixed point"
    );
    let (endpoint, origin) = (subscription.endpoint(), subscription.origin());
    assert!(endpoint.starts_with("https://") && !endpoint.contains('#'));
    assert!(
        endpoint.bytes().all(|b| b.is_ascii_graphic()),
        "no header is split by it"
    );
    let rest = endpoint
        .strip_prefix(origin)
        .expect("it begins with its origin");
    assert!(rest.starts_with('/'));
    assert!(!origin.contains('@'));
    assert_eq!(subscription.p256dh()[0], 4);
    let guard = Guard::default();
    assert_eq!(
        guard.check_url(endpoint),
        guard.check_url(origin),
        "whether it may be called depends on the origin alone"
    );
}
