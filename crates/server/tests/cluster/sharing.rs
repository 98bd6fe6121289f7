//! What nodes have in common: work, wake-ups, configuration, provider tokens.

use std::time::Duration;

use emulator::{Change, Gateway, Verdict};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::postgres::Postgres;
use crate::program::Server;
use crate::stage::{INSTANCE, Plot, Stage};

const PLOT: Plot = Plot {
    devices: 100,
    page_length: 40,
    latency_ms: 5,
    lease_secs: 30,
};

async fn id(answer: reqwest::Result<reqwest::Response>) -> String {
    let body: Value = answer
        .unwrap()
        .error_for_status()
        .unwrap()
        .json()
        .await
        .unwrap();
    body["publishId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_takes_requests_and_others_do_the_work() {
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    let api = stage.node_with(0, &[("HELIOSTAT_ROLES", "api")]).await;
    // Accepted while there is nobody to deliver.
    let first = id(stage.publish_at(&api.url).await).await;
    assert_eq!(stage.report(&first).await["state"], "running");
    assert_eq!(stage.receipts.copies(), 0);

    let worker = [("HELIOSTAT_ROLES", "worker")];
    let worker = stage.node_with(1, &worker).await;
    let refused = stage.publish_at(&worker.url).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    for path in ["healthz", "readyz", "metrics"] {
        let answer = stage
            .http
            .get(format!("{}/{path}", worker.url))
            .send()
            .await;
        assert_eq!(answer.unwrap().status(), 200, "{path}");
    }
    let mut answered = vec![first];
    for _ in 0..5 {
        answered.push(id(stage.publish_at(&api.url).await).await);
    }
    stage.finished(&answered).await;
    stage.judge(&answered, 0).await;
    assert!(!api.log().contains("a job of a publish is done"));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_credential_counts_on_every_node_within_a_second() {
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    let nodes = stage.nodes::<3>().await;
    for node in &nodes {
        assert_eq!(stage.publish_at(&node.url).await.unwrap().status(), 200);
    }
    stage.settled().await;
    stage.manage(&["instance", "delete", INSTANCE, "--yes"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in &nodes {
        assert_eq!(stage.publish_at(&node.url).await.unwrap().status(), 404);
    }
    stage.strike().await;
}

/// Apple refuses a team whose provider tokens change more than once in 20 minutes, and so does this Apple.
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_and_their_successors_use_one_provider_token() {
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    let strict = Change {
        strict_token_updates: Some(true),
        ..Change::default()
    };
    stage.emulators.change(Gateway::Apns, strict).unwrap();
    let mut answered = Vec::new();
    let mut before: Option<[Server; 3]> = None;
    for _ in 0..2 {
        let nodes = stage.nodes::<3>().await;
        // The first three are killed, and leave their tokens.
        drop(before.take());
        let mut publishing = JoinSet::new();
        for node in &nodes {
            publishing.spawn(stage.publish_at(&node.url));
        }
        for answer in publishing.join_all().await {
            answered.push(id(answer).await);
        }
        stage.finished(&answered).await;
        before = Some(nodes);
    }
    stage.judge(&answered, 0).await;
    assert_eq!(stage.emulators.total(Gateway::Apns, Verdict::Refused), 0);
    assert_eq!(
        postgres.sql("SELECT count(*), sum(version) FROM provider_tokens"),
        "2|2"
    );
    stage.strike().await;
}
