//! Stopping without loss and without repetition.

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::AudienceKind;
use emulator::{Gateway, Verdict};
use serde_json::json;

use crate::support::{World, count, settings, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_loses_and_repeats_nothing() {
    const DEVICES: usize = 1000;
    let world = World::new().await;
    let names = world.subscribers(Platform::Apns, "news", DEVICES).await;
    let settings = delivery::runner::Settings {
        page_length: 50,
        in_flight_max: 5,
        ..settings()
    };
    let mut node = world.start(settings.clone());
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    // Several stops, each while the fan-out is under way.
    for tenth in 1..=5 {
        wait_for("some deliveries", async || {
            let accepted = world.emulators.total(Gateway::Apns, Verdict::Accepted);
            (accepted >= tenth * 100).then_some(())
        })
        .await;
        node.stop().await;
        node = world.start(settings.clone());
    }
    let report = world.finished(publish).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), DEVICES as u64);
    for name in &names {
        assert_eq!(world.accepted(Gateway::Apns, name), 1, "{name}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_what_a_dead_one_held() {
    let world = World::new().await;
    let names = world.subscribers(Platform::Apns, "news", 300).await;
    let short = delivery::runner::Settings {
        lease: std::time::Duration::from_secs(1),
        ..settings()
    };
    // A lease that nobody prolongs: its node died right after the publish was accepted.
    let request = {
        let body = br#"{"interests":["news"],"apns":{"aps":{"alert":"hi"}}}"#;
        domain::publish::PublishRequest::parse(AudienceKind::Interests, body).unwrap()
    };
    let publish = domain::publish::Publish {
        id: domain::publish::PublishId::random(),
        instance: world.instance,
        accepted_at: world.clock.now(),
        send_at: world.clock.now(),
        expires_at: None,
        payloads: request.payloads,
        trace: None,
    };
    let id = publish.id;
    let new = store::publishes::NewPublish {
        publish: publish.into(),
        audience: request.audience,
        once: None,
        webhook: None,
    };
    let until = world.clock.now().after(short.lease);
    let lease = store::publishes::Lease {
        owner: uuid::Uuid::new_v4(),
        until,
    };
    let plan = store::publishes::Plan {
        job_span: 100,
        jobs_max: 8,
        lease: Some(lease),
        first_page_max: 0,
    };
    let held = world
        .second_store()
        .await
        .create_publish(new, plan)
        .await
        .unwrap()
        .into_jobs();
    assert_eq!(held.len(), 3);

    let node = world.start(short);
    let report = world.finished(id).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 300);
    assert_eq!(world.accepted(Gateway::Apns, &names[299]), 1);
    // What the dead node might still write is refused.
    let lost = world
        .store
        .settle_page(
            &held[0],
            held[0].end,
            true,
            until,
            store::publishes::Settlement::default(),
            until,
        )
        .await
        .unwrap();
    assert_eq!(lost, store::publishes::Settled::LeaseLost);
    node.stop().await;
}
