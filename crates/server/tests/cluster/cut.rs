//! The network to the database is cut for ten seconds, silently and by tearing it down.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::postgres::{self, Postgres};
use crate::program::until;
use crate::stage::{Plot, Stage};
use crate::wire::{State, Wire};

const PLOT: Plot = Plot {
    devices: 400,
    page_length: 40,
    latency_ms: 50,
    lease_secs: 4,
};
const CUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_is_told_of_and_nothing_is_half_done() {
    cut(State::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_is_told_of_and_nothing_is_half_done() {
    cut(State::Torn).await;
}

async fn cut(how: State) {
    let postgres = Postgres::start().await;
    let wire = Wire::to(postgres.port).await;
    let stage = Stage::set(PLOT, &postgres::url(&[wire.port])).await;
    let mut nodes = Vec::new();
    for place in 0..2 {
        let patience = ("HELIOSTAT_LIMITS_REQUEST_TIMEOUT_SECS", "3");
        nodes.push(stage.node_with(place, &[patience]).await);
    }
    let mut publishing = JoinSet::new();
    for _ in 0..4 {
        publishing.spawn(stage.publish());
    }
    let mut answered: Vec<String> = publishing.join_all().await.into_iter().flatten().collect();
    assert_eq!(answered.len(), 4);
    stage.arrive(PLOT.page_length * 2).await;
    assert!(
        stage.receipts.copies() < 4 * PLOT.devices,
        "the cut came too late"
    );

    wire.set(how);
    let joined_at = Instant::now() + CUT;
    let mut refused = 0;
    while Instant::now() < joined_at {
        for node in &nodes {
            let answer = stage.publish_at(&node.url).await.unwrap();
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
            let text = answer.text().await.unwrap();
            let body: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body["error"], "Service unavailable", "{text}");
            refused += 1;
        }
        let ready = stage.http.get(format!("{}/readyz", nodes[0].url)).send();
        assert_eq!(ready.await.unwrap().status(), 503);
        let healthy = stage.http.get(format!("{}/healthz", nodes[0].url)).send();
        assert_eq!(healthy.await.unwrap().status(), 200);
    }
    assert!(refused > 0);
    wire.set(State::Joined);
    answered.push(
        until("a publish to be taken again", async || {
            stage.publish().await
        })
        .await,
    );
    stage.finished(&answered).await;
    stage.settled().await;
    // Of each publish, the page that was in flight when its settlement could not be written, where the other node was faster.
    stage.judge(&answered, 0).await;
    stage.strike().await;
}
