//! A refused credential stops its gateway for its instance, and costs nothing else.

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::AudienceKind;
use emulator::{Behaviour, Gateway};
use serde_json::json;

use crate::support::{World, count, settings, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_credential_is_noted_and_costs_no_device() {
    let world = World::new().await;
    let node = world.start(settings());
    let id = world.register(Platform::Apns, "iphone").await;
    world.subscribe(id, "news").await;
    world.subscribers(Platform::Fcm, "news", 2).await;
    let behaviour = Behaviour::RefuseCredential { reason: None };
    world
        .emulators
        .set_behaviour(Gateway::Apns, None, behaviour)
        .unwrap();

    let payloads = json!({"apns": {"aps": {"alert": "hi"}}, "fcm": {"data": {}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads.clone())
        .await;
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::CredentialBroken), 1);
    assert_eq!(count(&report, OutcomeKind::Accepted), 2);
    assert!(
        world
            .store
            .device(world.instance, id)
            .await
            .unwrap()
            .is_some()
    );
    let record = world.store.instance(world.instance).await.unwrap().unwrap();
    let broken = |platform| {
        record
            .credentials
            .iter()
            .find(|c| c.platform == platform)
            .unwrap()
            .broken
            .is_some()
    };
    assert!(broken(Platform::Apns));
    assert!(!broken(Platform::Fcm));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_gateway_is_left_alone_until_there_is_a_new_credential() {
    let world = World::new().await;
    let node = world.start(settings());
    world.subscribers(Platform::Apns, "news", 1).await;
    let behaviour = Behaviour::RefuseCredential { reason: None };
    world
        .emulators
        .set_behaviour(Gateway::Apns, None, behaviour)
        .unwrap();
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads.clone())
        .await;
    world.finished(publish).await;

    // Not even the next publish asks it.
    let asked = world
        .emulators
        .totals(Gateway::Apns)
        .verdicts
        .values()
        .sum::<u64>();
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads.clone())
        .await;
    assert_eq!(
        count(
            &world.finished(publish).await,
            OutcomeKind::CredentialBroken
        ),
        1
    );
    assert_eq!(
        world
            .emulators
            .totals(Gateway::Apns)
            .verdicts
            .values()
            .sum::<u64>(),
        asked
    );

    world.emulators.clear_behaviours();
    world.set_credentials().await;
    wait_for("the new credential to count", async || {
        let publish = node
            .publish(AudienceKind::Interests, &["news"], payloads.clone())
            .await;
        (count(&world.finished(publish).await, OutcomeKind::Accepted) == 1).then_some(())
    })
    .await;
    node.stop().await;
}
