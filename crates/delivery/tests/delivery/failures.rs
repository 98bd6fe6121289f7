//! What gateways refuse, and what it leads to.

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::AudienceKind;
use emulator::{Behaviour, Gateway};
use serde_json::json;

use crate::support::{World, apns_token, count, settings};

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
    crate::support::wait_for("retries to be written", async || {
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
