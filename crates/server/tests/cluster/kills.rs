//! `kill -9` of one of three nodes in the middle of fan-outs, again and again.

use tokio::task::JoinSet;

use crate::postgres::Postgres;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 400,
    page_length: 40,
    latency_ms: 25,
    lease_secs: 3,
};
const KILLS: usize = 6;
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_at_most_a_page_repeated() {
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    let mut nodes = stage.nodes::<3>().await;
    let mut answered = Vec::new();
    for kill in 0..KILLS {
        let mut publishing = JoinSet::new();
        for _ in 0..AT_ONCE {
            publishing.spawn(stage.publish());
        }
        stage
            .arrive(rand::random_range(1..PLOT.devices * AT_ONCE / 2))
            .await;
        let place = kill % nodes.len();
        // The others go on; the next one comes up in its place while they do.
        let fresh = stage.node(place).await;
        std::mem::replace(&mut nodes[place], fresh).kill();
        let answers = publishing.join_all().await;
        answered.extend(answers.into_iter().flatten());
        stage.settled().await;
    }
    assert!(answered.len() >= KILLS * AT_ONCE / 2, "{}", answered.len());
    // Each publish was hit by one kill at most, and is one job.
    stage.judge(&answered, 1).await;
    stage.strike().await;
}
