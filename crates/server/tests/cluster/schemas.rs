//! Two versions of the schema during an upgrade.

use crate::postgres::Postgres;
use crate::program::heliostat;
use crate::stage::{Plot, Stage};

const PLOT: Plot = Plot {
    devices: 100,
    page_length: 40,
    latency_ms: 5,
    lease_secs: 4,
};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_two_releases_work_side_by_side() {
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    let running = stage.node(0).await;
    // What the next release does when its first node starts: a step that only adds.
    postgres.sql(
        "BEGIN;
         ALTER TABLE devices ADD COLUMN next_release bigint;
         ALTER TABLE publishes ADD COLUMN next_release text NOT NULL DEFAULT 'x';
         CREATE TABLE next_release (one boolean PRIMARY KEY);
         UPDATE heliostat_schema SET version = version + 1;
         COMMIT",
    );
    // A node of this release that was there, and one that starts afterwards.
    let started = stage.node(1).await;
    let mut answered = Vec::new();
    for node in [&running, &started] {
        let answer = stage.publish_at(&node.url).await.unwrap();
        let body: serde_json::Value = answer.error_for_status().unwrap().json().await.unwrap();
        answered.push(body["publishId"].as_str().unwrap().to_owned());
    }
    stage.finished(&answered).await;
    stage.judge(&answered, 0).await;

    // A step that this release cannot live with: who runs goes on until it is replaced, and nobody starts.
    postgres.sql("UPDATE heliostat_schema SET oldest = version");
    let output = heliostat(stage.env())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("newer"), "{said}");
    let last = vec![stage.publish().await.unwrap()];
    stage.finished(&last).await;
    stage.strike().await;
}
