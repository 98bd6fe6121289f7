//! What goes wrong on the way, seen through APNs' emulator.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::SystemClock;
use domain::outcome::{Outcome, OutcomeKind};
use emulator::{Behaviour, Change, Gateway, ResetCode, Verdict};
use futures_util::future::join_all;

use crate::fixture::{Fixture, TOKEN, iphone};

fn streams(max: u32) -> Change {
    Change {
        max_concurrent_streams: Some(max),
        ..Change::default()
    }
}

/// Tokens that differ, so that each has its own plan.
fn tokens(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("{number:064x}"))
}

async fn send_all(fixture: &Fixture, count: usize) -> Vec<Outcome> {
    let channel = fixture.apns();
    let phones: Vec<_> = tokens(count).map(|token| iphone(&token)).collect();
    let sends = phones.iter().map(|phone| fixture.send(&channel, phone));
    join_all(sends)
        .await
        .into_iter()
        .map(|attempt| attempt.outcome)
        .collect()
}

#[tokio::test]
async fn one_stream_at_a_time_is_respected_and_more_are_used_when_allowed() {
    let one_connection = |config: &mut gateway::Config| config.connections_per_host_max = 1;
    let fixture = Fixture::with(Arc::new(SystemClock), one_connection).await;
    fixture.emulators.change(Gateway::Apns, streams(1)).unwrap();
    // The emulator refuses streams above the limit, so overshooting would show.
    assert!(
        send_all(&fixture, 20)
            .await
            .iter()
            .all(|outcome| *outcome == Outcome::Accepted)
    );
    assert_eq!(fixture.apns().in_flight_limit(), 1);
    fixture
        .emulators
        .change(Gateway::Apns, streams(250))
        .unwrap();
    tokio::time::timeout(Duration::from_secs(30), async {
        while fixture.apns().in_flight_limit() != 250 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(
        send_all(&fixture, 500)
            .await
            .iter()
            .all(|outcome| *outcome == Outcome::Accepted)
    );
}

#[tokio::test]
async fn settings_that_shrink_in_flight_lose_nothing() {
    let fixture = Fixture::new().await;
    let latency = Change {
        latency_ms: Some(20),
        ..Change::default()
    };
    fixture.emulators.change(Gateway::Apns, latency).unwrap();
    let shrink = async {
        for max in [100, 3, 1, 50, 2, 1000] {
            fixture
                .emulators
                .change(Gateway::Apns, streams(max))
                .unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (outcomes, ()) = tokio::join!(send_all(&fixture, 1000), shrink);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted));
    for token in tokens(1000) {
        assert_eq!(
            fixture.emulators.accepted_for(Gateway::Apns, &token),
            1,
            "{token}"
        );
    }
}

#[tokio::test]
async fn several_connections_are_used_when_one_is_full() {
    let fixture = Fixture::new().await;
    fixture.emulators.change(Gateway::Apns, streams(5)).unwrap();
    assert_eq!(send_all(&fixture, 1).await, [Outcome::Accepted]);
    assert_eq!(
        fixture.apns().in_flight_limit(),
        20,
        "four connections of five streams"
    );
    assert!(
        send_all(&fixture, 200)
            .await
            .iter()
            .all(|outcome| *outcome == Outcome::Accepted)
    );
}

#[tokio::test]
async fn what_a_goaway_leaves_unprocessed_is_sent_again_at_once() {
    for abrupt in [false, true] {
        let fixture = Fixture::new().await;
        let going = Behaviour::Goaway { abrupt };
        for token in tokens(150).skip(50).step_by(50) {
            fixture
                .emulators
                .set_behaviour_times(Gateway::Apns, Some(&token), going.clone(), 1)
                .unwrap();
        }
        let outcomes = send_all(&fixture, 200).await;
        let accepted = outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Accepted)
            .count();
        let retried = outcomes
            .iter()
            .filter(|outcome| outcome.kind() == OutcomeKind::Retry)
            .count();
        assert_eq!(accepted + retried, 200, "{outcomes:?}");
        assert_eq!(accepted, 200, "abrupt {abrupt}: {outcomes:?}");
        for token in tokens(200) {
            assert!(
                fixture.emulators.accepted_for(Gateway::Apns, &token) <= 1,
                "nothing is sent twice: {token}"
            );
        }
    }
}

#[tokio::test]
async fn only_a_refused_stream_is_sent_again() {
    let fixture = Fixture::new().await;
    let channel = fixture.apns();
    for (code, outcome) in [
        (ResetCode::RefusedStream, Outcome::Accepted),
        (ResetCode::InternalError, Outcome::retry("stream_reset")),
        (ResetCode::Cancel, Outcome::retry("stream_reset")),
        (ResetCode::EnhanceYourCalm, Outcome::retry("stream_reset")),
        (ResetCode::ProtocolError, Outcome::retry("stream_reset")),
    ] {
        let reset = Behaviour::RstStream { code };
        fixture
            .emulators
            .set_behaviour_times(Gateway::Apns, Some(TOKEN), reset, 1)
            .unwrap();
        assert_eq!(
            fixture.send(&channel, &iphone(TOKEN)).await.outcome,
            outcome,
            "{code:?}"
        );
        fixture.emulators.clear_behaviours();
    }
    let always = Behaviour::RstStream {
        code: ResetCode::RefusedStream,
    };
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), always)
        .unwrap();
    let attempt = fixture.send(&channel, &iphone(TOKEN)).await;
    assert_eq!(attempt.outcome, Outcome::retry("stream_refused"));
}

#[tokio::test]
async fn a_request_that_hangs_ends_and_costs_the_others_nothing() {
    let short = |config: &mut gateway::Config| config.request_timeout = Duration::from_millis(500);
    let fixture = Fixture::with(Arc::new(SystemClock), short).await;
    let channel = fixture.apns();
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), Behaviour::Hang)
        .unwrap();
    let (phone, other) = (iphone(TOKEN), iphone(&"0b".repeat(32)));
    let (hung, fine) = tokio::join!(
        fixture.send(&channel, &phone),
        fixture.send(&channel, &other)
    );
    assert_eq!(hung.outcome, Outcome::retry("timeout"));
    assert_eq!(fine.outcome, Outcome::Accepted);
    assert_eq!(
        fixture
            .send(&channel, &iphone(&"0c".repeat(32)))
            .await
            .outcome,
        Outcome::Accepted
    );
}

#[tokio::test]
async fn a_connection_that_is_cut_is_replaced() {
    let fixture = Fixture::new().await;
    let channel = fixture.apns();
    fixture
        .emulators
        .set_behaviour_times(Gateway::Apns, Some(TOKEN), Behaviour::Cut, 1)
        .unwrap();
    // Whether it was processed cannot be known.
    assert_eq!(
        fixture.send(&channel, &iphone(TOKEN)).await.outcome,
        Outcome::retry("connection_lost")
    );
    assert_eq!(
        fixture.send(&channel, &iphone(TOKEN)).await.outcome,
        Outcome::Accepted
    );
}

#[tokio::test]
async fn dropped_sends_leave_no_slot_taken() {
    let one = |config: &mut gateway::Config| {
        config.connections_per_host_max = 1;
        config.in_flight_per_connection_max = 2;
    };
    let fixture = Fixture::with(Arc::new(SystemClock), one).await;
    let channel = fixture.apns();
    fixture
        .emulators
        .set_behaviour(Gateway::Apns, Some(TOKEN), Behaviour::Hang)
        .unwrap();
    for _ in 0..5 {
        let phone = iphone(TOKEN);
        let send = fixture.send(&channel, &phone);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), send)
                .await
                .is_err()
        );
    }
    assert_eq!(
        fixture
            .send(&channel, &iphone(&"0b".repeat(32)))
            .await
            .outcome,
        Outcome::Accepted
    );
}

#[tokio::test]
async fn closing_finishes_what_is_under_way_and_takes_nothing_new() {
    let fixture = Fixture::new().await;
    let latency = Change {
        latency_ms: Some(300),
        ..Change::default()
    };
    fixture.emulators.change(Gateway::Apns, latency).unwrap();
    let channel = fixture.apns();
    let phone = iphone(TOKEN);
    let close = async {
        // Until the connection stands and the request is on it, there is nothing to finish.
        tokio::time::sleep(Duration::from_millis(200)).await;
        fixture.gateways.close().await;
        fixture.send(&channel, &phone).await
    };
    let (under_way, late) = tokio::join!(fixture.send(&channel, &phone), close);
    assert_eq!(under_way.outcome, Outcome::Accepted);
    assert_eq!(late.outcome, Outcome::retry("closing"));
    assert_eq!(fixture.emulators.total(Gateway::Apns, Verdict::Accepted), 1);
}

#[tokio::test]
async fn nobody_at_home_is_tried_again_later() {
    let fixture = Fixture::new().await;
    fixture.emulators.stop().await;
    let attempt = fixture.send(&fixture.apns(), &iphone(TOKEN)).await;
    assert_eq!(attempt.outcome, Outcome::retry("connect_failed"));
}
