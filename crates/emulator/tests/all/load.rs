//! Many notifications at once: nothing lost, memory bounded, streams reused.

use emulator::{Change, Gateway, RECENT_MAX, Verdict};
use futures_util::{StreamExt as _, stream};

use crate::support::{World, device_token, send};

const NOTIFICATIONS: usize = 5000;
const AT_ONCE: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_notifications_are_counted_one_by_one() {
    let world = World::new().await;
    let hundred = Change {
        max_concurrent_streams: Some(100),
        ..Change::default()
    };
    world.emulators.change(Gateway::Apns, hundred).unwrap();
    let token = world.good_provider_token();
    let url = world.emulators.url(Gateway::Apns);
    let mut stream = world.emulators.subscribe();
    let statuses: Vec<u16> = stream::iter(0..NOTIFICATIONS)
        .map(|n| {
            let request = world
                .http
                .post(format!("{url}/3/device/{}", device_token(n)))
                .bearer_auth(&token)
                .header("apns-topic", "com.example.app")
                .body(r#"{"aps":{"alert":"hi"}}"#);
            async move { send(request).await.status }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(
        world.emulators.total(Gateway::Apns, Verdict::Accepted),
        NOTIFICATIONS as u64
    );
    assert_eq!(
        world
            .emulators
            .totals(Gateway::Apns)
            .distinct_tokens_accepted,
        NOTIFICATIONS
    );
    assert_eq!(world.emulators.recent().len(), RECENT_MAX);
    let mut streamed = 0;
    while stream.try_recv().is_ok() {
        streamed += 1;
    }
    assert_eq!(streamed, NOTIFICATIONS);
}
