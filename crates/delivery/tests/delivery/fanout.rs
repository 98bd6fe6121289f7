//! Who gets a publish.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::AudienceKind;
use emulator::Gateway;
use serde_json::json;

use crate::support::{World, count, settings};

#[tokio::test(flavor = "multi_thread")]
async fn every_subscriber_gets_one_copy() {
    let world = World::new().await;
    let node = world.start(settings());
    let apns = world.subscribers(Platform::Apns, "news", 250).await;
    let fcm = world.subscribers(Platform::Fcm, "sport", 130).await;
    // One device has both interests.
    let both = world.register(Platform::Apns, "news-7").await;
    world.subscribe(both, "sport").await;
    world.subscribers(Platform::Fcm, "other", 3).await;

    let payloads =
        json!({"apns": {"aps": {"alert": "hi"}}, "fcm": {"notification": {"title": "hi"}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news", "sport"], payloads)
        .await;
    let report = world.finished(publish).await;

    assert_eq!(count(&report, OutcomeKind::Accepted), 380);
    for name in &apns {
        assert_eq!(world.accepted(Gateway::Apns, name), 1, "{name}");
    }
    for name in &fcm {
        assert_eq!(world.accepted(Gateway::Fcm, name), 1, "{name}");
    }
    assert_eq!(world.accepted(Gateway::Fcm, "other-0"), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_it_on_all_devices_and_nobody_else_does() {
    let world = World::new().await;
    let node = world.start(settings());
    let subscription = {
        let instance = node.instances.get(world.instance).await.unwrap().unwrap();
        let key = URL_SAFE_NO_PAD.encode(instance.vapid_public_key());
        world.emulators.create_subscription(Some(&key)).unwrap()
    };
    // As the web SDK sends it.
    let web_token = STANDARD.encode(serde_json::to_string(&subscription).unwrap());
    for (platform, name) in [
        (Platform::Apns, "iphone"),
        (Platform::Fcm, "android"),
        (Platform::Web, web_token.as_str()),
    ] {
        let id = world.register(platform, name).await;
        world.bind(id, "alice").await;
    }
    let stranger = world.register(Platform::Apns, "stranger").await;
    world.bind(stranger, "bob").await;
    world.register(Platform::Apns, "nobody").await;

    let payloads = json!({
        "apns": {"aps": {"alert": "hi"}}, "fcm": {"notification": {"title": "hi"}},
        "web": {"notification": {"title": "hi"}},
    });
    let publish = node
        .publish(AudienceKind::Users, &["alice", "carol"], payloads)
        .await;
    let report = world.finished(publish).await;

    assert_eq!(
        count(&report, OutcomeKind::Accepted),
        3,
        "{:?}",
        report.tallies
    );
    assert_eq!(world.accepted(Gateway::Apns, "iphone"), 1);
    assert_eq!(world.accepted(Gateway::Fcm, "android"), 1);
    assert_eq!(world.accepted(Gateway::Apns, "stranger"), 0);
    assert_eq!(world.accepted(Gateway::Apns, "nobody"), 0);
    let clear = world
        .emulators
        .recent()
        .into_iter()
        .find(|notification| notification.gateway == Gateway::WebPush)
        .map(|notification| notification.payload_value());
    assert_eq!(clear.unwrap()["notification"]["title"], "hi");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_to_nobody_is_finished_at_once() {
    let world = World::new().await;
    let node = world.start(settings());
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    let publish = node
        .publish(AudienceKind::Users, &["nobody"], payloads)
        .await;
    let report = world.finished(publish).await;
    assert!(report.tallies.is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_left_is_taken_up_at_the_start() {
    let world = World::new().await;
    let names = world.subscribers(Platform::Apns, "news", 150).await;
    // A node that has no place for the job leaves it in the store.
    let full = world.start(delivery::runner::Settings {
        express_jobs_max: 0,
        ..settings()
    });
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    let publish = full
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    full.stop().await;
    assert_eq!(world.accepted(Gateway::Apns, &names[0]), 0);

    let node = world.start(settings());
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 150);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_to_few_overtakes_one_to_many() {
    let world = World::new().await;
    let node = world.start(delivery::runner::Settings {
        page_length: 10,
        bulk_jobs_max: 1,
        express_pages: 1,
        ..settings()
    });
    world.subscribers(Platform::Apns, "many", 400).await;
    world.subscribers(Platform::Fcm, "few", 1).await;
    // The long one cannot end while its gateway does not answer.
    world
        .emulators
        .set_behaviour(Gateway::Apns, None, emulator::Behaviour::Hang)
        .unwrap();
    let apns = json!({"apns": {"aps": {"alert": "hi"}}});
    let long = node
        .publish(AudienceKind::Interests, &["many"], apns.clone())
        .await;
    let longer = node.publish(AudienceKind::Interests, &["many"], apns).await;
    let short = node
        .publish(
            AudienceKind::Interests,
            &["few"],
            json!({"fcm": {"data": {}}}),
        )
        .await;
    world.finished(short).await;
    for publish in [long, longer] {
        let report = world
            .store
            .publish_report(world.instance, publish)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(report.finished_at, None);
    }
    world.emulators.clear_behaviours();
    for publish in [long, longer] {
        assert_eq!(
            count(&world.finished(publish).await, OutcomeKind::Accepted),
            400
        );
    }
    node.stop().await;
}
