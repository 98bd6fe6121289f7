//! All nodes are replaced one after the other, under load.

use std::sync::Arc;

use crate::postgres::Postgres;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 200,
    page_length: 40,
    latency_ms: 20,
    lease_secs: 30,
};
const CALLERS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_nothing_loses_nothing_and_doubles_nothing() {
    let postgres = Postgres::start().await;
    let stage = Arc::new(Stage::set(PLOT, &postgres.url()).await);
    let mut nodes = stage.nodes::<3>().await;
    let callers = stage.callers(CALLERS);
    for (place, node) in nodes.iter_mut().enumerate() {
        stage.arrive(PLOT.devices).await;
        // The new one is there before the old one goes, and the old one stops in order.
        let fresh = stage.node(place).await;
        let old = std::mem::replace(node, fresh);
        old.terminate();
        let log = old.log();
        let ended = old.end().await;
        assert!(ended.success(), "{ended}: {log}");
    }
    stage.arrive(PLOT.devices).await;
    let answered = callers.end().await;
    assert!(answered.len() > 3 * CALLERS, "{}", answered.len());
    stage.finished(&answered).await;
    stage.judge(&answered, 0).await;
}
