//! `kill -9` in the middle of fan-outs: what was answered 200 reaches everybody, and a crash repeats at most what was in
//! flight.

use tokio::task::JoinSet;

use crate::program::until;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 600,
    page_length: 50,
    latency_ms: 10,
    stumbling: 30,
};
const KILLS: usize = 5;
const PUBLISHES_PER_KILL: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost_by_a_crash() {
    let (stage, mut server) = Stage::set(&PLOT).await;

    let mut accepted = Vec::new();
    for kill in 1..=KILLS {
        let mut publishing = JoinSet::new();
        for _ in 0..PUBLISHES_PER_KILL {
            publishing.spawn(stage.publish(&server));
        }
        let more = rand::random_range(1..PLOT.devices * PUBLISHES_PER_KILL);
        let enough = stage.receipts.copies() + more;
        until("some of the fan-out", async || {
            (stage.receipts.copies() >= enough).then_some(())
        })
        .await;
        server.kill();
        let answers = publishing.join_all().await;
        println!(
            "kill {kill} after {more} notifications; {} publishes were answered",
            answers.iter().flatten().count()
        );
        accepted.extend(answers.into_iter().flatten());
        server = stage.serve().await;
    }
    stage.settled(&server).await;

    assert!(!accepted.is_empty());
    for publish in &accepted {
        assert_eq!(
            stage.receipts.devices(publish),
            PLOT.devices,
            "{publish} was answered 200"
        );
    }
    // What was not answered may have been stored or not; but half a publish there is not.
    for publish in stage.receipts.publishes() {
        assert_eq!(
            stage.receipts.devices(&publish),
            PLOT.devices,
            "{publish} was stored"
        );
    }
    // Each of these publishes is one job: a kill repeats at most a page of it, and what was being retried of it.
    let stumbled = PLOT.devices.div_ceil(PLOT.stumbling);
    let repeated_max = KILLS * (PLOT.page_length + stumbled);
    for publish in stage.receipts.publishes() {
        let repeated = stage.receipts.repeated(&publish);
        assert!(repeated <= repeated_max, "{publish}: {repeated} repeated");
    }
    server.kill();
    stage.strike().await;
}
