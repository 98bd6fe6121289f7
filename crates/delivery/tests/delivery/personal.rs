//! Payloads that are filled with each user's own values.

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::payload::Values;
use domain::publish::{Audience, AudienceKind, PublishLines, UserList};
use domain::user::UserId;
use emulator::Gateway;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use store::lists::Listed;

use crate::support::{World, apns_token, count, settings};

fn listed(user: &str, name: Option<&str>) -> Listed {
    let values = name.map(|name| {
        let object = to_raw_value(&json!({"name": name, "n": 7})).unwrap();
        Values::parse(&object).unwrap()
    });
    Listed {
        user: UserId::parse(user).unwrap(),
        values,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_gets_a_text_of_its_own_or_none() {
    let world = World::new().await;
    let node = world.start(settings());
    for (user, platform) in [
        ("ann", Platform::Apns),
        ("ann", Platform::Fcm),
        ("bob", Platform::Fcm),
        ("eve", Platform::Apns),
    ] {
        let device = world.register(platform, &format!("{user}s")).await;
        world.bind(device, user).await;
    }
    let first = json!({
        "apns": {"aps": {"alert": "Hi {{name}}"}},
        "fcm": {"notification": {"title": "Hi {{ name }}", "body": "{{n}} new"}},
    });
    let lines = PublishLines::parse(AudienceKind::Users, first.to_string().as_bytes()).unwrap();
    let list = world
        .store
        .begin_list(world.instance, world.clock.now())
        .await
        .unwrap();
    let users = vec![
        listed("ann", Some("Ann \"the\" {{n}}")),
        listed("bob", Some("Bob")),
        listed("eve", None),
    ];
    assert_eq!(world.store.extend_list(list, 0, users).await.unwrap(), None);
    let audience = Audience::List(UserList {
        number: list,
        users: 3,
    });
    let publish = node.take(lines.into_request(audience)).await;
    let report = world.finished(publish).await;

    assert_eq!(count(&report, OutcomeKind::Accepted), 3);
    assert_eq!(count(&report, OutcomeKind::Rejected), 1);
    let rejected = report
        .tallies
        .iter()
        .find(|tally| tally.outcome == OutcomeKind::Rejected)
        .unwrap();
    assert_eq!(rejected.reason, "missing_value");
    assert_eq!(world.accepted(Gateway::Apns, "eves"), 0);
    let recent = world.emulators.recent();
    let sent = |gateway, token: &str| -> Value {
        let sent = recent
            .iter()
            .find(|sent| sent.gateway == gateway && sent.token == token);
        sent.unwrap().payload_value()
    };
    let anns = sent(Gateway::Apns, &apns_token("anns"));
    assert_eq!(anns["aps"]["alert"], "Hi Ann \"the\" {{n}}");
    let bobs = sent(Gateway::Fcm, "bobs");
    assert_eq!(bobs["notification"]["title"], "Hi Bob");
    assert_eq!(bobs["notification"]["body"], "7 new");
    node.stop().await;
}
