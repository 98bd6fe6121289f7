//! SIGTERM in the middle of fan-outs: nothing is lost and nothing comes twice.

use tokio::task::JoinSet;

use crate::program::until;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 600,
    page_length: 50,
    latency_ms: 50,
    stumbling: 20,
    failing: 0,
};
const STOPS: usize = 3;
const PUBLISHES_PER_STOP: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_loses_nothing_and_repeats_nothing() {
    let (stage, mut server) = Stage::set(&PLOT).await;
    let mut accepted = Vec::new();
    for stop in 1..=STOPS {
        let mut publishing = JoinSet::new();
        for _ in 0..PUBLISHES_PER_STOP {
            publishing.spawn(stage.publish(&server));
        }
        // All are accepted and the fan-outs are well under way.
        let answers = publishing.join_all().await;
        assert!(answers.iter().all(Option::is_some));
        accepted.extend(answers.into_iter().flatten());
        let enough = stage.receipts.copies() + PLOT.page_length * stop;
        until("some of the fan-out", async || {
            (stage.receipts.copies() >= enough).then_some(())
        })
        .await;
        server.terminate();
        let log = server.log();
        let ended = server.end().await;
        assert!(ended.success(), "{ended}: {log}");
        let everything = PLOT.devices * accepted.len();
        assert!(
            stage.receipts.copies() < everything,
            "the stop came too late to be in the middle"
        );
        server = stage.serve().await;
    }
    stage.settled(&server).await;
    for publish in &accepted {
        assert_eq!(stage.receipts.devices(publish), PLOT.devices, "{publish}");
        assert_eq!(stage.receipts.repeated(publish), 0, "{publish}");
    }
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}
