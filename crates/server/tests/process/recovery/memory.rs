//! No memory is left: the process ends between two instructions, by its own hand or the kernel's.

use std::os::unix::process::ExitStatusExt as _;

use tokio::task::JoinSet;

use super::{PLOT, all_are_delivered, limit};
use crate::stage::{Answer, Stage};

const ROUNDS: usize = 40;
const PUBLISHES_AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn an_end_for_want_of_memory_loses_nothing() {
    let (stage, mut server) = Stage::set(&PLOT).await;
    let mut answered = vec![stage.publish(&server).await.unwrap()];
    // The most it has had; nothing more is given.
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    limit(&server, &format!("--as={}:", kib * 1024));
    let mut ended = None;
    for _ in 0..ROUNDS {
        let mut publishing = JoinSet::new();
        for _ in 0..PUBLISHES_AT_ONCE {
            publishing.spawn(stage.ask(&server));
        }
        for answer in publishing.join_all().await {
            if let Answer::Taken(publish) = answer {
                answered.push(publish);
            }
        }
        ended = server.ended();
        if ended.is_some() {
            break;
        }
    }
    match ended {
        // An allocation failed.
        Some(status) => assert!(status.signal().is_some() || !status.success(), "{status}"),
        // It did with what it had: then the kernel's killer comes for it all the same.
        None => server.kill(),
    }
    server = stage.serve().await;
    answered.push(stage.publish(&server).await.unwrap());
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}
