//! `kill -9` in the middle of fan-outs: what was answered 200 reaches everybody, and a crash repeats at most what was in
//! flight.
//!
//! `scripts/simulate --kills` does the same a hundred times, in fan-outs to 20,000 devices.

use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::program::until;
use crate::stage::{Fate, Plot, Stage};

/// How often `scripts/test` kills.
const KILLS: usize = 5;
const PLOT: Plot = Plot {
    devices: 600,
    page_length: 50,
    latency_ms: 10,
    stumbling: 30,
    failing: 50,
};
/// Who kills more often than this wants fan-outs as long as they are in earnest.
const FEW_KILLS: usize = 20;
const LONG_PLOT: Plot = Plot {
    devices: 20_000,
    page_length: 200,
    latency_ms: 5,
    ..PLOT
};

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs a test says how much of it, not a configuration"
)]
fn kills() -> usize {
    std::env::var("HELIOSTAT_CRASH_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

/// Publishes that were made together, and how often the server was killed until they had their end.
#[derive(Default)]
struct Batch {
    answered: Vec<String>,
    kills: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost_by_a_crash() {
    let kills = kills();
    let (plot, at_once) = match kills {
        0..=FEW_KILLS => (PLOT, 3),
        _ => (LONG_PLOT, 1),
    };
    let (stage, mut server) = Stage::set(&plot).await;
    let mut judge = Judge::new(&plot);
    let mut killed = 0;
    while killed < kills {
        let mut batch = Batch::default();
        let mut publishing = JoinSet::new();
        for _ in 0..at_once {
            publishing.spawn(stage.publish(&server));
        }
        let before = stage.receipts.copies();
        while killed < kills {
            let more = rand::random_range(0..plot.devices * at_once / 2);
            let enough = stage.receipts.copies() + more;
            // What is refused once comes later, so a batch is never seen to be at its end too early.
            let everything = before + at_once * judge.reachable;
            until("some of the fan-out", async || {
                let copies = stage.receipts.copies();
                (copies >= enough || copies >= everything).then_some(())
            })
            .await;
            if stage.receipts.copies() >= everything {
                break;
            }
            server.kill();
            killed += 1;
            batch.kills += 1;
            println!("kill {killed} after {more} more notifications");
            let answers = std::mem::take(&mut publishing).join_all().await;
            batch.answered.extend(answers.into_iter().flatten());
            server = stage.serve().await;
        }
        let answers = publishing.join_all().await;
        batch.answered.extend(answers.into_iter().flatten());
        stage.settled(&server).await;
        judge.look_at(&stage, &batch);
        stage.reset(&server, &plot).await;
    }
    let Judge {
        answered,
        stored,
        repeated,
        ..
    } = judge;
    println!(
        "{killed} kills: {answered} publishes answered, {stored} stored, {repeated} of {} copies repeated",
        stage.receipts.copies()
    );
    assert!(answered > 0);
    server.kill();
    stage.strike().await;
}

/// Says whether what arrived is what must have.
struct Judge {
    /// How many devices are neither dead nor refused.
    reachable: usize,
    /// How many copies a kill repeats of a publish at most: a page, since each publish here is one job, and what was being
    /// retried.
    repeated_per_kill_max: usize,
    answered: usize,
    stored: usize,
    repeated: usize,
    /// All publishes so far.
    seen: HashSet<String>,
}

impl Judge {
    fn new(plot: &Plot) -> Self {
        Self {
            reachable: plot.count(Fate::Accepted) + plot.count(Fate::Stumbles),
            repeated_per_kill_max: plot.page_length + plot.count(Fate::Stumbles),
            answered: 0,
            stored: 0,
            repeated: 0,
            seen: HashSet::new(),
        }
    }

    fn look_at(&mut self, stage: &Stage, batch: &Batch) {
        for publish in &batch.answered {
            let devices = stage.receipts.devices(publish);
            assert_eq!(devices, self.reachable, "{publish} was answered 200");
            self.answered += 1;
        }
        for publish in stage.receipts.publishes() {
            if !self.seen.insert(publish.clone()) {
                continue;
            }
            // What was not answered may have been stored or not; but half a publish there is not.
            let devices = stage.receipts.devices(&publish);
            assert_eq!(devices, self.reachable, "{publish} was stored");
            let repeated = stage.receipts.repeated(&publish);
            let repeated_max = batch.kills * self.repeated_per_kill_max;
            assert!(
                repeated <= repeated_max,
                "{publish}: {repeated} repeated by {} kills",
                batch.kills
            );
            self.stored += 1;
            self.repeated += repeated;
        }
    }
}
