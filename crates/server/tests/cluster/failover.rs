//! The primary dies under load; its synchronous standby takes over.

use tokio::task::JoinSet;

use crate::postgres::{self, Postgres};
use crate::program::until;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 200,
    page_length: 40,
    latency_ms: 10,
    lease_secs: 3,
};
const BEFORE: usize = 20;
const AFTER: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_a_failover_is_delivered() {
    let primary = Postgres::start().await;
    let standby = primary.synchronous_standby().await;
    let both = postgres::url(&[primary.port, standby.port]);
    let stage = Stage::set(PLOT, &both).await;
    let nodes = stage.nodes::<3>().await;

    // Each caller publishes again and again, as long as there is somebody to answer.
    let mut publishing = JoinSet::new();
    let stop = tokio_util::sync::CancellationToken::new();
    let publish_all = |stop: &tokio_util::sync::CancellationToken| {
        let (stop, stage) = (stop.clone(), &stage);
        let mut requests = Vec::new();
        for _ in 0..BEFORE {
            requests.push(stage.publish());
        }
        async move {
            let mut answered = Vec::new();
            for request in requests {
                if stop.is_cancelled() {
                    break;
                }
                answered.extend(request.await);
            }
            answered
        }
    };
    for _ in 0..3 {
        publishing.spawn(publish_all(&stop));
    }
    stage.arrive(PLOT.devices * 3).await;
    primary.kill();
    standby.promote();
    until("the standby to take writes", async || {
        (standby.sql("SELECT pg_is_in_recovery()") == "f").then_some(())
    })
    .await;
    stop.cancel();
    let mut answered = publishing.join_all().await.concat();
    assert!(answered.len() > 3, "{}", answered.len());

    // The nodes have found the new primary by themselves.
    for _ in 0..AFTER {
        answered.push(until("a publish to be taken", stage_publish(&stage)).await);
    }
    stage.finished(&answered).await;
    stage.settled().await;
    // No node died. What was committed is on the standby, so pages are repeated where a lease ended meanwhile.
    stage.judge(&answered, 0).await;
    drop(nodes);
    stage.strike().await;
}

fn stage_publish(stage: &Stage) -> impl AsyncFnMut() -> Option<String> {
    async || stage.publish().await
}
