//! FCM, and Google's token endpoint.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, ManualClock, SystemClock};
use domain::outcome::{Outcome, OutcomeKind};
use emulator::{Behaviour, Gateway, Verdict};
use futures_util::future::join_all;

use crate::fixture::{FCM_TOKEN, Fixture, android};

#[tokio::test]
async fn a_message_arrives_as_it_was_rendered() {
    let fixture = Fixture::new().await;
    assert_eq!(
        fixture
            .send(&fixture.fcm(), &android(FCM_TOKEN))
            .await
            .outcome,
        Outcome::Accepted
    );
    assert_eq!(fixture.emulators.accepted_for(Gateway::Fcm, FCM_TOKEN), 1);
    let arrived = fixture
        .emulators
        .recent()
        .into_iter()
        .find(|it| it.gateway == Gateway::Fcm)
        .unwrap();
    assert_eq!(arrived.payload_value()["notification"]["title"], "hello");
}

#[tokio::test]
async fn many_deliveries_ask_for_one_access_token() {
    let fixture = Fixture::new().await;
    let phone = android(FCM_TOKEN);
    let channels: Vec<_> = (0..50).map(|_| fixture.fcm()).collect();
    let sends = join_all(channels.iter().map(|channel| fixture.send(channel, &phone))).await;
    assert!(
        sends
            .iter()
            .all(|attempt| attempt.outcome == Outcome::Accepted)
    );
    assert_eq!(
        fixture
            .emulators
            .total(Gateway::FcmToken, Verdict::Accepted),
        1
    );
    assert_eq!(fixture.emulators.total(Gateway::Fcm, Verdict::Accepted), 50);
}

#[tokio::test]
async fn a_refused_access_token_is_fetched_anew_once() {
    let fixture = Fixture::new().await;
    let channel = fixture.fcm();
    let phone = android(FCM_TOKEN);
    assert_eq!(
        fixture.send(&channel, &phone).await.outcome,
        Outcome::Accepted
    );
    fixture.emulators.revoke_access_tokens();
    let sends = join_all((0..20).map(|_| fixture.send(&channel, &phone))).await;
    assert!(
        sends
            .iter()
            .all(|attempt| attempt.outcome == Outcome::Accepted)
    );
    assert_eq!(
        fixture
            .emulators
            .total(Gateway::FcmToken, Verdict::Accepted),
        2
    );
    // A second refusal is the credential's fault.
    let refused = Behaviour::RefuseCredential {
        reason: Some("UNAUTHENTICATED".into()),
    };
    fixture
        .emulators
        .set_behaviour(Gateway::Fcm, Some(FCM_TOKEN), refused)
        .unwrap();
    let attempt = fixture.send(&channel, &phone).await;
    assert_eq!(
        attempt.outcome,
        Outcome::credential_broken("unauthenticated")
    );
    assert_eq!(
        fixture
            .emulators
            .total(Gateway::FcmToken, Verdict::Accepted),
        3
    );
}

#[tokio::test]
async fn an_access_token_is_fetched_before_it_ends() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let fixture = Fixture::with(Arc::clone(&clock) as _, |_| {}).await;
    let channel = fixture.fcm();
    let phone = android(FCM_TOKEN);
    for (advance_secs, fetched) in [(0, 1), (3000, 1), (400, 2)] {
        clock.advance(Duration::from_secs(advance_secs));
        fixture.send(&channel, &phone).await;
        let all = Verdict::ALL
            .into_iter()
            .map(|verdict| fixture.emulators.total(Gateway::FcmToken, verdict));
        assert_eq!(all.sum::<u64>(), fetched, "after {advance_secs} s more");
    }
}

#[tokio::test]
async fn the_token_endpoint_decides_about_the_credential() {
    for (behaviour, kind) in [
        (
            Behaviour::RefuseCredential { reason: None },
            OutcomeKind::CredentialBroken,
        ),
        (
            Behaviour::ServerError {
                status: None,
                retry_after_s: None,
            },
            OutcomeKind::Retry,
        ),
        (
            Behaviour::Throttled {
                retry_after_s: Some(9),
                retry_after_date_s: None,
            },
            OutcomeKind::Retry,
        ),
        (Behaviour::Cut, OutcomeKind::Retry),
        (
            Behaviour::RstStream {
                code: Default::default(),
            },
            OutcomeKind::Retry,
        ),
        (
            Behaviour::Malformed {
                status: Some(200),
                bytes: None,
            },
            OutcomeKind::Retry,
        ),
        (
            Behaviour::Redirect {
                location: "https://elsewhere.example/".into(),
            },
            OutcomeKind::Retry,
        ),
    ] {
        let fixture = Fixture::new().await;
        fixture
            .emulators
            .set_behaviour(Gateway::FcmToken, None, behaviour.clone())
            .unwrap();
        let channel = fixture.fcm();
        let phone = android(FCM_TOKEN);
        let attempts = join_all((0..10).map(|_| fixture.send(&channel, &phone))).await;
        for attempt in attempts {
            assert_eq!(attempt.outcome.kind(), kind, "{behaviour:?}");
        }
        assert_eq!(fixture.emulators.total(Gateway::Fcm, Verdict::Accepted), 0);
        let asked = Verdict::ALL
            .into_iter()
            .map(|verdict| fixture.emulators.total(Gateway::FcmToken, verdict));
        assert!(
            asked.sum::<u64>() <= 1,
            "ten deliveries asked once: {behaviour:?}"
        );
    }
}

#[tokio::test]
async fn a_token_endpoint_in_a_private_network_is_not_asked() {
    let fixture = Fixture::with(Arc::new(SystemClock), |config| {
        config.outbound_allow.clear();
    })
    .await;
    let attempt = fixture.send(&fixture.fcm(), &android(FCM_TOKEN)).await;
    assert_eq!(
        attempt.outcome,
        Outcome::credential_broken("token_uri_not_allowed")
    );
    assert_eq!(
        fixture
            .emulators
            .total(Gateway::FcmToken, Verdict::Accepted),
        0
    );
}

#[tokio::test]
async fn answers_have_their_outcomes() {
    let fixture = Fixture::new().await;
    let channel = fixture.fcm();
    let refuse = |reason: &str| Behaviour::Refuse {
        reason: reason.into(),
        status: None,
    };
    for (behaviour, outcome) in [
        (
            Behaviour::Dead { timestamp_ms: None },
            Outcome::token_dead("unregistered"),
        ),
        (
            refuse("SENDER_ID_MISMATCH"),
            Outcome::rejected("sender_id_mismatch"),
        ),
        (
            refuse("THIRD_PARTY_AUTH_ERROR"),
            Outcome::rejected("third_party_auth_error"),
        ),
        (refuse("INTERNAL"), Outcome::retry("internal")),
        (refuse("UNAVAILABLE"), Outcome::retry("unavailable")),
        (
            Behaviour::Throttled {
                retry_after_s: Some(60),
                retry_after_date_s: None,
            },
            Outcome::Retry {
                reason: "quota_exceeded".into(),
                after: Some(Duration::from_secs(60)),
            },
        ),
    ] {
        fixture
            .emulators
            .set_behaviour(Gateway::Fcm, Some(FCM_TOKEN), behaviour.clone())
            .unwrap();
        let attempt = fixture.send(&channel, &android(FCM_TOKEN)).await;
        assert_eq!(attempt.outcome, outcome, "{behaviour:?}");
    }
}
