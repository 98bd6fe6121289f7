//! APNs.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, ManualClock, SystemClock, Timestamp};
use domain::credential::ApnsCredential;
use domain::device::ApnsEnvironment;
use domain::jws::Es256Key;
use domain::outcome::{Outcome, OutcomeKind};
use emulator::{Behaviour, Change, Gateway, Verdict};

use crate::fixture::{FCM_TOKEN, Fixture, TOKEN, android, iphone};

#[tokio::test]
async fn a_notification_arrives_with_all_its_headers() {
    let fixture = Fixture::new().await;
    let attempt = fixture.send(&fixture.apns(), &iphone(TOKEN)).await;
    assert_eq!(attempt.outcome, Outcome::Accepted);
    assert_eq!(attempt.environment, None);
    let arrived = fixture.emulators.recent().pop().unwrap();
    assert_eq!(
        (arrived.gateway, arrived.verdict, arrived.token.as_str()),
        (Gateway::Apns, Verdict::Accepted, TOKEN)
    );
    assert_eq!(arrived.topic.as_deref(), Some("com.example.app"));
    assert_eq!(arrived.payload_value()["aps"]["alert"], "hello");
    let id = fixture
        .publish
        .delivery_uuid(iphone(TOKEN).device)
        .to_string();
    assert_eq!(arrived.id.as_deref(), Some(id.as_str()));
    for (name, value) in [
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-collapse-id", "c"),
    ] {
        assert_eq!(
            arrived.headers.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_token_of_the_sandbox_is_found_there_and_learned() {
    let fixture = Fixture::new().await;
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), Behaviour::SandboxOnly)
        .unwrap();
    let channel = fixture.apns();
    let attempt = fixture.send(&channel, &iphone(TOKEN)).await;
    assert_eq!(attempt.outcome, Outcome::Accepted);
    assert_eq!(attempt.environment, Some(ApnsEnvironment::Sandbox));
    assert_eq!(
        fixture
            .emulators
            .total(Gateway::ApnsSandbox, Verdict::Accepted),
        1
    );
    let known = domain::device::Recipient {
        environment: ApnsEnvironment::Sandbox,
        ..iphone(TOKEN)
    };
    let attempt = fixture.send(&channel, &known).await;
    assert_eq!(
        (attempt.outcome, attempt.environment),
        (Outcome::Accepted, None)
    );
    let asked = |gateway| {
        let all = Verdict::ALL.into_iter();
        all.map(|verdict| fixture.emulators.total(gateway, verdict))
            .sum::<u64>()
    };
    assert_eq!(asked(Gateway::Apns), 1, "production was asked once");
    assert_eq!(asked(Gateway::ApnsSandbox), 2);
}

#[tokio::test]
async fn a_token_is_dead_only_if_both_gateways_say_so() {
    let fixture = Fixture::new().await;
    let bad = || Behaviour::Refuse {
        reason: "BadDeviceToken".into(),
        status: None,
    };
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), bad())
        .unwrap();
    let channel = fixture.apns();
    for (sandbox, kind, learned) in [
        (bad(), OutcomeKind::TokenDead, None),
        (
            Behaviour::Throttled {
                retry_after_s: None,
                retry_after_date_s: None,
            },
            OutcomeKind::Retry,
            None,
        ),
        (
            Behaviour::Refuse {
                reason: "DeviceTokenNotForTopic".into(),
                status: None,
            },
            OutcomeKind::Rejected,
            None,
        ),
        (
            Behaviour::Ok,
            OutcomeKind::Accepted,
            Some(ApnsEnvironment::Sandbox),
        ),
    ] {
        fixture
            .emulators
            .set_behaviour(Gateway::ApnsSandbox, Some(TOKEN), sandbox.clone())
            .unwrap();
        let attempt = fixture.send(&channel, &iphone(TOKEN)).await;
        assert_eq!(
            (attempt.outcome.kind(), attempt.environment),
            (kind, learned),
            "{sandbox:?}"
        );
    }
    // The other way round.
    let at_home_in_sandbox = domain::device::Recipient {
        environment: ApnsEnvironment::Sandbox,
        ..iphone(TOKEN)
    };
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), Behaviour::Ok)
        .unwrap();
    fixture
        .emulators
        .set_behaviour(Gateway::ApnsSandbox, Some(TOKEN), bad())
        .unwrap();
    let attempt = fixture.send(&channel, &at_home_in_sandbox).await;
    assert_eq!(
        (attempt.outcome, attempt.environment),
        (Outcome::Accepted, Some(ApnsEnvironment::Production))
    );
}

#[tokio::test]
async fn an_unregistered_token_is_dead_since_then() {
    let fixture = Fixture::new().await;
    let dead = Behaviour::Dead {
        timestamp_ms: Some(1_700_000_000_123),
    };
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), dead)
        .unwrap();
    let attempt = fixture.send(&fixture.apns(), &iphone(TOKEN)).await;
    let since = Some(Timestamp::from_millis(1_700_000_000_123));
    assert_eq!(
        attempt.outcome,
        Outcome::TokenDead {
            reason: "unregistered".into(),
            since
        }
    );
}

#[tokio::test]
async fn throttling_says_how_long() {
    let fixture = Fixture::new().await;
    let channel = fixture.apns();
    let throttled = Behaviour::Throttled {
        retry_after_s: Some(17),
        retry_after_date_s: None,
    };
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), throttled)
        .unwrap();
    let attempt = fixture.send(&channel, &iphone(TOKEN)).await;
    let after = Some(Duration::from_secs(17));
    assert_eq!(
        attempt.outcome,
        Outcome::Retry {
            reason: "too_many_requests_for_device".into(),
            after
        }
    );
}

#[tokio::test]
async fn channels_of_one_credential_share_the_provider_token() {
    let fixture = Fixture::new().await;
    let strict = Change {
        strict_token_updates: Some(true),
        ..Change::default()
    };
    fixture.emulators.change(Gateway::Apns, strict).unwrap();
    for _ in 0..5 {
        let channel = fixture.apns();
        assert_eq!(
            fixture.send(&channel, &iphone(TOKEN)).await.outcome,
            Outcome::Accepted
        );
        // A token differs from the one before it if it is made anew, since ECDSA signatures are random.
    }
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_and_the_notification_sent_again() {
    let start = SystemClock.now().before(Duration::from_secs(25 * 60));
    let clock = Arc::new(ManualClock::new(start));
    let fixture = Fixture::with(Arc::clone(&clock) as _, |_| {}).await;
    let channel = fixture.apns();
    assert_eq!(
        fixture.send(&channel, &iphone(TOKEN)).await.outcome,
        Outcome::Accepted
    );
    let expired = || Behaviour::RefuseCredential {
        reason: Some("ExpiredProviderToken".into()),
    };
    // Too young to be replaced: nothing to do but to wait.
    fixture
        .emulators
        .set_behaviour_times(Gateway::Apns, Some(TOKEN), expired(), 1)
        .unwrap();
    let attempt = fixture.send(&channel, &iphone(TOKEN)).await;
    assert_eq!(attempt.outcome, Outcome::retry("expired_provider_token"));
    clock.advance(Duration::from_secs(24 * 60));
    fixture
        .emulators
        .set_behaviour_times(Gateway::Apns, Some(TOKEN), expired(), 1)
        .unwrap();
    assert_eq!(
        fixture.send(&channel, &iphone(TOKEN)).await.outcome,
        Outcome::Accepted
    );
    assert_eq!(
        fixture
            .emulators
            .total(Gateway::Apns, Verdict::CredentialRefused),
        2
    );
    assert_eq!(fixture.emulators.total(Gateway::Apns, Verdict::Accepted), 2);
}

#[tokio::test]
async fn another_key_under_the_same_ids_is_another_credential() {
    let fixture = Fixture::new().await;
    let right = fixture.apns_credential();
    assert_eq!(
        fixture.send(&fixture.apns(), &iphone(TOKEN)).await.outcome,
        Outcome::Accepted
    );
    let der = Es256Key::generate().unwrap().pkcs8().to_vec();
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let wrong = ApnsCredential::parse(right.key_id(), right.team_id(), &pem).unwrap();
    let attempt = fixture
        .send(&fixture.gateways.apns(Arc::new(wrong)), &iphone(TOKEN))
        .await;
    assert_eq!(
        attempt.outcome,
        Outcome::credential_broken("invalid_provider_token")
    );
    assert_eq!(
        fixture.send(&fixture.apns(), &iphone(TOKEN)).await.outcome,
        Outcome::Accepted
    );
}

#[tokio::test]
async fn what_cannot_be_sent_is_rejected_without_asking() {
    let fixture = Fixture::new().await;
    let channel = fixture.apns();
    let no_topic = domain::device::Recipient {
        bundle_id: None,
        ..iphone(TOKEN)
    };
    assert_eq!(
        fixture.send(&channel, &no_topic).await.outcome,
        Outcome::rejected("missing_topic")
    );
    let attempt = fixture.send(&channel, &android(FCM_TOKEN)).await;
    assert_eq!(attempt.outcome, Outcome::rejected("wrong_platform"));
    assert!(fixture.emulators.recent().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_none_of_apns_costs_nothing() {
    let fixture = Fixture::new().await;
    let channel = fixture.apns();
    for (status, kind) in [(400, OutcomeKind::Rejected), (500, OutcomeKind::Retry)] {
        let malformed = Behaviour::Malformed {
            status: Some(status),
            bytes: Some(1 << 20),
        };
        fixture
            .emulators
            .set_behaviour(Gateway::Apns, Some(TOKEN), malformed)
            .unwrap();
        assert_eq!(
            fixture.send(&channel, &iphone(TOKEN)).await.outcome.kind(),
            kind
        );
    }
    fixture.emulators.clear_behaviours();
    assert_eq!(
        fixture.send(&channel, &iphone(TOKEN)).await.outcome,
        Outcome::Accepted
    );
}
