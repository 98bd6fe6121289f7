//! Web Push.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::clock::SystemClock;
use domain::jws::Es256Key;
use domain::outcome::{Outcome, OutcomeKind};
use emulator::{Behaviour, Gateway, Verdict};

use crate::fixture::{Fixture, browser};

#[tokio::test]
async fn a_message_arrives_and_can_be_decrypted() {
    let fixture = Fixture::new().await;
    let key = Arc::new(Es256Key::generate().unwrap());
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    let subscription = fixture
        .emulators
        .create_subscription(Some(&public))
        .unwrap();
    let attempt = fixture
        .send(&fixture.gateways.web_push(key), &browser(&subscription))
        .await;
    assert_eq!(attempt.outcome, Outcome::Accepted);
    let arrived = fixture.emulators.recent().pop().unwrap();
    assert_eq!(arrived.verdict, Verdict::Accepted);
    assert_eq!(arrived.payload_value()["notification"]["title"], "hello");
    assert_eq!(arrived.topic.as_deref(), Some("news"));
    for (name, value) in [("urgency", "high"), ("ttl", "60")] {
        assert_eq!(
            arrived.headers.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
}

#[tokio::test]
async fn another_instances_key_is_refused_and_breaks_nothing() {
    let fixture = Fixture::new().await;
    let key = Es256Key::generate().unwrap();
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    let subscription = fixture
        .emulators
        .create_subscription(Some(&public))
        .unwrap();
    let attempt = fixture.send(&fixture.web(), &browser(&subscription)).await;
    assert_eq!(attempt.outcome.kind(), OutcomeKind::Rejected);
}

#[tokio::test]
async fn answers_have_their_outcomes() {
    let fixture = Fixture::new().await;
    let subscription = fixture.emulators.create_subscription(None).unwrap();
    let channel = fixture.web();
    for (behaviour, outcome) in [
        (
            Behaviour::Dead { timestamp_ms: None },
            Outcome::token_dead("gone"),
        ),
        (
            Behaviour::RefuseCredential { reason: None },
            Outcome::rejected("vapid_refused"),
        ),
        (
            Behaviour::Redirect {
                location: "https://127.0.0.1:1/".into(),
            },
            Outcome::rejected("redirect"),
        ),
        (
            Behaviour::Malformed {
                status: None,
                bytes: Some(4 << 20),
            },
            Outcome::rejected("bad_request"),
        ),
        (
            Behaviour::ServerError {
                status: Some(502),
                retry_after_s: None,
            },
            Outcome::retry("bad_gateway"),
        ),
        (
            Behaviour::Throttled {
                retry_after_s: Some(5),
                retry_after_date_s: None,
            },
            Outcome::Retry {
                reason: "too_many_requests".into(),
                after: Some(Duration::from_secs(5)),
            },
        ),
        (Behaviour::Ok, Outcome::Accepted),
    ] {
        let endpoint = Some(subscription.endpoint.as_str());
        fixture
            .emulators
            .set_behaviour(Gateway::WebPush, endpoint, behaviour.clone())
            .unwrap();
        let attempt = fixture.send(&channel, &browser(&subscription)).await;
        assert_eq!(attempt.outcome, outcome, "{behaviour:?}");
    }
    let dated = Behaviour::Throttled {
        retry_after_s: None,
        retry_after_date_s: Some(1000),
    };
    fixture
        .emulators
        .set_behaviour(Gateway::WebPush, Some(&subscription.endpoint), dated)
        .unwrap();
    let attempt = fixture.send(&channel, &browser(&subscription)).await;
    let Outcome::Retry {
        after: Some(after), ..
    } = attempt.outcome
    else {
        panic!("{attempt:?}")
    };
    assert!((500..=1000).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn endpoints_in_private_networks_are_refused_when_they_are_used() {
    let fixture = Fixture::with(Arc::new(SystemClock), |config| {
        config.outbound_allow.clear();
    })
    .await;
    let channel = fixture.web();
    let mut subscription = fixture.emulators.create_subscription(None).unwrap();
    // Registered as a name, it only shows when it is resolved.
    for endpoint in [
        subscription.endpoint.clone(),
        "https://localhost/push".into(),
    ] {
        subscription.endpoint = endpoint;
        let attempt = fixture.send(&channel, &browser(&subscription)).await;
        assert_eq!(
            attempt.outcome,
            Outcome::rejected("endpoint_not_allowed"),
            "{}",
            subscription.endpoint
        );
    }
    assert!(fixture.emulators.recent().is_empty());
}

#[tokio::test]
async fn a_host_that_does_not_resolve_is_tried_again_later() {
    let fixture = Fixture::new().await;
    let mut subscription = fixture.emulators.create_subscription(None).unwrap();
    subscription.endpoint = "https://no-such-host.invalid/push".into();
    let attempt = fixture.send(&fixture.web(), &browser(&subscription)).await;
    assert_eq!(attempt.outcome, Outcome::retry("resolve_failed"));
}
