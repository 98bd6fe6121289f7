//! No file descriptor is left.

use std::collections::HashSet;

use tokio::task::JoinSet;

use super::{PLOT, all_are_delivered, limit, status};
use crate::program::{client, until};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_waits_and_goes_on_when_there_are_some() {
    let (stage, server) = Stage::set(&PLOT).await;
    // The connection over which everything is asked from now on.
    assert_eq!(status(&stage, &server, "/readyz").await, 200);
    let folder = format!("/proc/{}/fd", server.pid());
    let open: HashSet<u32> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    // A new one gets the lowest number that is free, so this is the first that must not be given.
    let free = (0..).find(|number| !open.contains(number)).unwrap();
    // Neither a caller gets in, nor does the server get out to the gateways.
    limit(&server, &format!("--nofile={free}:"));
    let waiting = client().build().unwrap();
    let url = format!("{}/healthz", server.url);
    let mut callers = JoinSet::new();
    callers.spawn(async move { waiting.get(url).send().await.unwrap().status() });
    until("the server to tell of it", async || {
        server
            .log()
            .contains("a connection could not be accepted")
            .then_some(())
    })
    .await;
    let answered = vec![stage.publish(&server).await.unwrap()];
    assert_eq!(status(&stage, &server, "/readyz").await, 200);
    // It has tried to get out, and could not.
    let metrics = format!("{}/metrics", server.url);
    until("an attempt without a connection", async || {
        let text = stage.http.get(&metrics).send().await.ok()?.text().await;
        let text = text.ok()?;
        let waiting = text
            .lines()
            .find_map(|line| line.strip_prefix("heliostat_queue_retries "));
        (waiting? != "0").then_some(())
    })
    .await;
    assert_eq!(stage.receipts.copies(), 0);
    assert!(callers.try_join_next().is_none());
    limit(&server, "--nofile=1024:");
    assert_eq!(callers.join_next().await.unwrap().unwrap().as_u16(), 200);
    all_are_delivered(&stage, &server, &answered).await;
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}
