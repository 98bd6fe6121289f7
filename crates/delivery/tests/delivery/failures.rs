//! What gateways refuse, and what it leads to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::AudienceKind;
use emulator::{Behaviour, Gateway, Verdict};
use serde_json::json;

use crate::support::{World, apns_token, count, settings, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_takes_its_device_along() {
    let world = World::new().await;
    let node = world.start(settings());
    let dead = world.register(Platform::Apns, "dead").await;
    let alive = world.register(Platform::Apns, "alive").await;
    for id in [dead, alive] {
        world.subscribe(id, "news").await;
        world.bind(id, "alice").await;
    }
    let behaviour = Behaviour::Dead { timestamp_ms: None };
    world
        .emulators
        .set_behaviour(Gateway::Apns, Some(&apns_token("dead")), behaviour)
        .unwrap();

    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    let publish = node
        .publish(AudienceKind::Users, &["alice"], payloads)
        .await;
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 1);
    assert_eq!(count(&report, OutcomeKind::TokenDead), 1);
    assert_eq!(
        world.store.device(world.instance, dead).await.unwrap(),
        None
    );
    assert!(
        world
            .store
            .device(world.instance, alive)
            .await
            .unwrap()
            .is_some()
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_declared_dead_before_its_registration_lives() {
    let world = World::new().await;
    let node = world.start(settings());
    let id = world.register(Platform::Apns, "again").await;
    world.subscribe(id, "news").await;
    let behaviour = Behaviour::Dead {
        timestamp_ms: Some(1_600_000_000_000),
    };
    world
        .emulators
        .set_behaviour(Gateway::Apns, Some(&apns_token("again")), behaviour)
        .unwrap();
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    world.finished(publish).await;
    assert!(
        world
            .store
            .device(world.instance, id)
            .await
            .unwrap()
            .is_some()
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_now_is_tried_again() {
    let world = World::new().await;
    let node = world.start(settings());
    let names = world.subscribers(Platform::Fcm, "news", 12).await;
    let once = [
        Behaviour::ServerError {
            status: Some(503),
            retry_after_s: None,
        },
        Behaviour::ServerError {
            status: None,
            retry_after_s: Some(0),
        },
        Behaviour::Throttled {
            retry_after_s: Some(1),
            retry_after_date_s: None,
        },
        Behaviour::Throttled {
            retry_after_s: None,
            retry_after_date_s: None,
        },
        Behaviour::Hang,
        Behaviour::Cut,
    ];
    for (name, behaviour) in names.iter().zip(once) {
        let gateway = Gateway::Fcm;
        world
            .emulators
            .set_behaviour_times(gateway, Some(name), behaviour, 2)
            .unwrap();
    }
    let publish = node
        .publish(
            AudienceKind::Interests,
            &["news"],
            json!({"fcm": {"data": {"a": 1}}}),
        )
        .await;
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 12);
    for name in &names {
        assert!(world.accepted(Gateway::Fcm, name) >= 1, "{name}");
    }
    assert_eq!(report.retries, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_ends_with_the_time_to_live() {
    let world = World::new().await;
    let node = world.start(settings());
    world.subscribers(Platform::Fcm, "news", 1).await;
    let behaviour = Behaviour::ServerError {
        status: None,
        retry_after_s: None,
    };
    world
        .emulators
        .set_behaviour(Gateway::Fcm, None, behaviour)
        .unwrap();
    let payloads = json!({"fcm": {"data": {"a": 1}, "time_to_live": 1}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::Expired), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_survives_a_restart() {
    let world = World::new().await;
    let node = world.start(settings());
    let names = world.subscribers(Platform::Fcm, "news", 3).await;
    let behaviour = Behaviour::ServerError {
        status: None,
        retry_after_s: Some(1),
    };
    world
        .emulators
        .set_behaviour(Gateway::Fcm, None, behaviour)
        .unwrap();
    let publish = node
        .publish(
            AudienceKind::Interests,
            &["news"],
            json!({"fcm": {"data": {"a": 1}}}),
        )
        .await;
    wait_for("retries to be written", async || {
        let report = world
            .store
            .publish_report(world.instance, publish)
            .await
            .unwrap()
            .unwrap();
        (report.retries == 3).then_some(())
    })
    .await;
    node.stop().await;
    world.emulators.clear_behaviours();

    let node = world.start(settings());
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 3);
    assert_eq!(world.accepted(Gateway::Fcm, &names[0]), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_device_is_found_and_remembered() {
    let world = World::new().await;
    let node = world.start(settings());
    world.subscribers(Platform::Apns, "news", 1).await;
    world
        .emulators
        .set_behaviour(Gateway::Apns, None, Behaviour::SandboxOnly)
        .unwrap();
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    for _ in 0..2 {
        let publish = node
            .publish(AudienceKind::Interests, &["news"], payloads.clone())
            .await;
        assert_eq!(
            count(&world.finished(publish).await, OutcomeKind::Accepted),
            1
        );
    }
    assert_eq!(world.accepted(Gateway::ApnsSandbox, "news-0"), 2);
    // Production was asked the first time only.
    let refused = world
        .emulators
        .totals(Gateway::Apns)
        .verdicts
        .values()
        .sum::<u64>();
    assert_eq!(refused, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_web_push_host_holds_up_nobody_else() {
    let world = World::new().await;
    let node = world.start(settings());
    // It takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_host = format!("https://{}", silent.local_addr().unwrap());
    for number in 0..40 {
        let mut subscription =
            serde_json::to_value(world.emulators.create_subscription(None).unwrap()).unwrap();
        subscription["endpoint"] = json!(format!("{dead_host}/{number}"));
        let token = STANDARD.encode(subscription.to_string());
        let id = world.register(Platform::Web, &token).await;
        world.subscribe(id, "news").await;
    }
    let alive = world.emulators.create_subscription(None).unwrap();
    let token = STANDARD.encode(serde_json::to_string(&alive).unwrap());
    let id = world.register(Platform::Web, &token).await;
    world.subscribe(id, "news").await;
    world.subscribers(Platform::Apns, "news", 20).await;

    let payloads =
        json!({"apns": {"aps": {"alert": "hi"}}, "web": {"notification": {"title": "hi"}}});
    for copies in 1..=3 {
        let publish = node
            .publish(AudienceKind::Interests, &["news"], payloads.clone())
            .await;
        wait_for("everybody else to get it", async || {
            let apns = world.emulators.total(Gateway::Apns, Verdict::Accepted);
            let web = world.emulators.total(Gateway::WebPush, Verdict::Accepted);
            (apns == 20 * copies && web == copies).then_some(())
        })
        .await;
        // What is for the dead host waits, and costs no device.
        let report = world
            .store
            .publish_report(world.instance, publish)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(report.finished_at, None);
    }
    node.stop().await;
}
