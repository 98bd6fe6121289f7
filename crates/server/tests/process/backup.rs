//! A copy that is made under load, and put back after the server was killed.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::program::{Server, until};
use crate::stage::{INSTANCE, Plot, Stage};

const PLOT: Plot = Plot {
    devices: 200,
    page_length: 20,
    latency_ms: 40,
    stumbling: 20,
    failing: 0,
};
/// Makes the database large enough that its copy takes a while, at the slowest rate there is: 1 MiB a second.
const PASSENGERS: usize = 6_000;

/// Publishes and registers until it is told to stop. What was answered.
async fn load(stage: &Stage, server: &Server, stop: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    let mut number = PLOT.devices;
    while !stop.load(Ordering::Relaxed) {
        let (publish, ()) = tokio::join!(stage.publish(server), stage.register_one(server, number));
        answered.extend(publish);
        number += 1;
    }
    answered
}

/// Devices that nothing is published to.
fn board_passengers(stage: &Stage) {
    let lines: String = (0..PASSENGERS)
        .map(|number| {
            let (token, user) = (format!("passenger-{number}"), number / 2);
            format!("{{\"platform\":\"fcm\",\"token\":\"{token}\",\"userId\":\"{user}\",\"interests\":[\"ferry\"]}}\n")
        })
        .collect();
    let file = stage.path("passengers.ndjson");
    std::fs::write(&file, lines).unwrap();
    stage.manage(&[
        "import",
        "devices",
        "--instance",
        INSTANCE,
        file.to_str().unwrap(),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_a_copy_under_load_is_in_it_and_is_delivered() {
    let (stage, server) = Stage::set(&PLOT).await;
    board_passengers(&stage);
    // These are under way when the copy is made.
    let mut publishing = JoinSet::new();
    for _ in 0..3 {
        publishing.spawn(stage.publish(&server));
    }
    let before: Vec<String> = publishing.join_all().await.into_iter().flatten().collect();
    assert_eq!(before.len(), 3);
    let copy = stage.path("copy.db");
    let copying = ["backup", copy.to_str().unwrap(), "--rate", "1", "--json"];
    let stop = AtomicBool::new(false);
    let (made, meanwhile) = tokio::join!(
        async {
            let mut command = stage.command(&copying);
            let made = tokio::task::spawn_blocking(move || command.output());
            let made = made.await.unwrap().unwrap();
            stop.store(true, Ordering::Relaxed);
            assert!(made.status.success(), "{made:?}");
            made.stdout
        },
        async { load(&stage, &server, &stop).await }
    );
    // The server served on: the load is in step with its answers, and a copy takes as long as it takes.
    assert!(meanwhile.len() > 3, "{} publishes", meanwhile.len());
    let made: Value = serde_json::from_slice(&made).unwrap();
    let rows = |table: &str| made["tables"][table]["rows"].as_u64().unwrap();
    assert!(rows("devices") >= (PLOT.devices + PASSENGERS) as u64);
    assert!(rows("publishes") >= before.len() as u64);
    assert!(rows("jobs") > 0, "something was under way: {made}");

    server.kill();
    let delivered = stage.receipts.copies();
    let put_back = ["restore", copy.to_str().unwrap(), "--force", "--json"];
    let restored: Value = serde_json::from_str(&stage.manage(&put_back)).unwrap();
    assert_eq!(restored["tables"], made["tables"]);
    let server = stage.serve().await;
    stage.settled(&server).await;
    for publish in &before {
        assert!(stage.receipts.devices(publish) >= PLOT.devices, "{publish}");
        // The receipts are of both servers. What the database of the copy has come to is of what it held, and of what followed.
        let told = stage.report(publish);
        let tallies = told["tallies"].as_array().unwrap().iter();
        let accepted: u64 = tallies
            .filter(|tally| tally["outcome"] == "accepted")
            .map(|tally| tally["count"].as_u64().unwrap())
            .sum();
        assert!(accepted >= PLOT.devices as u64, "{told}");
    }
    assert!(
        stage.receipts.copies() > delivered,
        "what was under way in the copy goes on"
    );
    let after = stage.publish(&server).await.unwrap();
    until("what is published afterwards", async || {
        (stage.receipts.devices(&after) >= PLOT.devices).then_some(())
    })
    .await;
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}
