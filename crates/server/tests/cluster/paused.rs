//! `kill -STOP` of a node past its lease, then `-CONT`: what it had is done by others, and it settles nothing any more.

use tokio::task::JoinSet;

use crate::postgres::Postgres;
use crate::program::until;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 400,
    page_length: 40,
    latency_ms: 100,
    lease_secs: 3,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_wakes_up_settles_nothing() {
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    let [sleeper, _second, _third] = stage.nodes::<3>().await;
    // Taken by the node that is to sleep, which is in the middle of all of them then.
    let mut publishing = JoinSet::new();
    for _ in 0..3 {
        publishing.spawn(stage.publish_at(&sleeper.url));
    }
    let mut answered = Vec::new();
    for answer in publishing.join_all().await {
        let body: serde_json::Value = answer.unwrap().json().await.unwrap();
        answered.push(body["publishId"].as_str().unwrap().to_owned());
    }
    stage.arrive(PLOT.page_length).await;
    sleeper.signal("STOP");
    let before = stage.receipts.copies();
    assert!(
        before < 3 * PLOT.devices,
        "it slept too late to be in the middle"
    );
    until("the others to do its work", async || {
        let everywhere = |publish: &String| stage.receipts.devices(publish) == PLOT.devices;
        answered.iter().all(everywhere).then_some(())
    })
    .await;
    until("the others to settle it", async || {
        (postgres.sql("SELECT count(*) FROM jobs") == "0").then_some(())
    })
    .await;
    sleeper.signal("CONT");
    until("it to find out", async || {
        let log = sleeper.log();
        let told = |publish: &String| {
            let mut lines = log.lines();
            lines.any(|line| {
                line.contains("a job's lease was lost") && line.contains(publish.as_str())
            })
        };
        answered.iter().all(told).then_some(())
    })
    .await;
    stage.finished(&answered).await;
    stage.judge(&answered, 0).await;
    // It lives on as one of three.
    let later = stage.publish_at(&sleeper.url).await.unwrap();
    let body: serde_json::Value = later.json().await.unwrap();
    let later = vec![body["publishId"].as_str().unwrap().to_owned()];
    stage.finished(&later).await;
    assert_eq!(stage.receipts.repeated(&later[0]), 0);
    stage.strike().await;
}
