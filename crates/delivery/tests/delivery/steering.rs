//! Publishes that are called off, sent later, told of by user, and sent again.

use std::time::Duration;

use delivery::runner::{Replay, Settings, Taken};
use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::{AudienceKind, PublishId};
use emulator::{Behaviour, Gateway};
use serde_json::json;
use store::lookup::{Cancelled, PublishState};

use crate::support::{World, count, settings, wait_for};

async fn cancel(world: &World, publish: PublishId) -> Cancelled {
    let now = world.clock.now();
    let store = &world.store;
    store
        .cancel_publish(world.instance, publish, now)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_fanout_stops_where_it_is() {
    let world = World::new().await;
    let names = world.subscribers(Platform::Fcm, "news", 300).await;
    world
        .emulators
        .set_behaviour(Gateway::Fcm, None, Behaviour::Hang)
        .unwrap();
    let node = world.start(Settings {
        page_length: 20,
        ..settings()
    });
    let payloads = json!({"fcm": {"data": {"a": 1}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    assert_eq!(cancel(&world, publish).await, Cancelled::Done);
    world.emulators.clear_behaviours();
    let report = world.finished(publish).await;
    assert_eq!(report.state, PublishState::Cancelled);
    // The page in flight ends on its own; then the job does, and leaves its place.
    node.stop().await;
    for name in &names[20..] {
        assert_eq!(world.accepted(Gateway::Fcm, name), 0, "{name}");
    }
    assert_eq!(world.finished(publish).await, report, "nothing was settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_retries_are_not_sent() {
    let world = World::new().await;
    let node = world.start(settings());
    world.subscribers(Platform::Fcm, "news", 5).await;
    let behaviour = Behaviour::ServerError {
        status: None,
        retry_after_s: Some(1),
    };
    world
        .emulators
        .set_behaviour(Gateway::Fcm, None, behaviour)
        .unwrap();
    let payloads = json!({"fcm": {"data": {"a": 1}}});
    let publish = node
        .publish(AudienceKind::Interests, &["news"], payloads.clone())
        .await;
    wait_for("retries", async || {
        let report = world.store.publish_report(world.instance, publish).await;
        (report.unwrap().unwrap().retries == 5).then_some(())
    })
    .await;
    assert_eq!(cancel(&world, publish).await, Cancelled::Done);
    world.emulators.clear_behaviours();
    // A later one shows that the retries were gone through.
    let other = node
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    let report = world.finished(other).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 5);
    for number in 0..5 {
        let name = format!("news-{number}");
        assert_eq!(world.accepted(Gateway::Fcm, &name), 1, "{name}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_publish_is_sent_once_by_whoever_is_there() {
    let world = World::new().await;
    let names = world.subscribers(Platform::Apns, "news", 20).await;
    let first = world.start(settings());
    let send_at = world.clock.now().after(Duration::from_secs(2));
    let payloads = json!({"apns": {"aps": {"alert": "hi"}}, "sendAt": send_at.to_string()});
    let publish = first
        .publish(AudienceKind::Interests, &["news"], payloads)
        .await;
    // The node that took it goes; two others come.
    first.stop().await;
    let others = [world.start(settings()), world.start(settings())];
    let report = world.finished(publish).await;
    assert!(report.finished_at >= Some(send_at), "{report:?}");
    assert_eq!(count(&report, OutcomeKind::Accepted), 20);
    for name in &names {
        assert_eq!(world.accepted(Gateway::Apns, name), 1, "{name}");
    }
    for node in &others {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_told_of_and_what_failed_is_sent_again() {
    let world = World::new().await;
    let node = world.start(settings());
    for (user, names) in [
        ("ann", &["ann-fine", "ann-refused"][..]),
        ("bob", &["bob-refused"]),
        ("cid", &["cid-later"]),
    ] {
        for name in names {
            let id = world.register(Platform::Fcm, name).await;
            world.bind(id, user).await;
        }
    }
    let refused = Behaviour::Refuse {
        status: Some(400),
        reason: "INVALID_ARGUMENT".into(),
    };
    for name in ["ann-refused", "bob-refused"] {
        world
            .emulators
            .set_behaviour(Gateway::Fcm, Some(name), refused.clone())
            .unwrap();
    }
    let later = Behaviour::ServerError {
        status: None,
        retry_after_s: Some(0),
    };
    world
        .emulators
        .set_behaviour_times(Gateway::Fcm, Some("cid-later"), later, 1)
        .unwrap();
    let users = ["ann", "bob", "cid", "dee"];
    let payloads = json!({"fcm": {"data": {"a": 1}}});
    let publish = node.publish(AudienceKind::Users, &users, payloads).await;
    world.finished(publish).await;
    let told = world
        .store
        .publish_users(world.instance, publish, None, 10)
        .await
        .unwrap()
        .unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|one| (one.user.as_str(), one.accepted, one.failed))
        .collect();
    assert_eq!(
        told,
        [("ann", 1, 1), ("bob", 0, 1), ("cid", 1, 0), ("dee", 0, 0)]
    );
    world.emulators.clear_behaviours();
    let replay = node.runner.replay(world.instance, publish, None).await;
    let Replay::Taken(Taken::New(replay)) = replay.unwrap() else {
        unreachable!("it has finished")
    };
    let report = world.finished(replay).await;
    assert_eq!(count(&report, OutcomeKind::Accepted), 2);
    for name in ["ann-fine", "ann-refused", "bob-refused", "cid-later"] {
        assert_eq!(world.accepted(Gateway::Fcm, name), 1, "{name}");
    }
    node.stop().await;
}
