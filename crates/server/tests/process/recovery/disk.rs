//! Disks that are full, read-only, or fail.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};

use super::{
    Disk, Faults, PLOT, all_are_delivered, does_not_start, status, until_refused, until_taken,
};
use crate::program::Server;
use crate::stage::{Answer, INSTANCE, SECRET_KEY, Stage};

const EIO: i64 = 5;
const EROFS: i64 = 30;
/// What a restore needs beside the copy of the copy.
const ROOM: u64 = 128 << 10;
/// Publishes of this length, in bytes: enough that the database has to grow by more than that room, and so few that the log is not
/// written into it meanwhile, however they are grouped, and that they are not too many for a second.
const LONG: usize = 3 << 10;
const LONG_PUBLISHES: usize = 90;

/// What everybody is told while nothing can be written.
async fn is_refused_clearly(stage: &Stage, server: &Server, refused: &Answer) {
    assert_eq!(*refused, Answer::Refused(503, Some("1".to_owned())));
    assert_eq!(status(stage, server, "/readyz").await, 503);
    assert_eq!(status(stage, server, "/healthz").await, 200);
    assert_eq!(stage.try_register(server, PLOT.devices + 1).await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_got_over_without_a_restart_and_with_one() {
    let disk = Disk::of("6m");
    let (stage, mut server) = Stage::set_in(&PLOT, disk.surroundings()).await;
    let mut answered = vec![stage.publish(&server).await.unwrap()];
    disk.fill();
    let refused = until_refused(&stage, &server, &mut answered).await;
    is_refused_clearly(&stage, &server, &refused).await;
    disk.free();
    until_taken(&stage, &server, &mut answered).await;
    assert_eq!(status(&stage, &server, "/readyz").await, 200);

    // A copy that the disk has no room for leaves nothing.
    disk.fill();
    until_refused(&stage, &server, &mut answered).await;
    let copy = stage.database().with_file_name("copy.db");
    let output = stage
        .command(&["backup", copy.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.lines().count() == 1,
        "{said}"
    );
    for name in ["copy.db", "copy.db.part"] {
        assert!(!disk.path(name).exists(), "{name}");
    }
    // Killed while it is full, and started again and again: that costs nothing.
    server.kill();
    for _ in 0..3 {
        let line = does_not_start(&stage);
        assert!(line.contains("cannot open the database"), "{line}");
    }
    disk.free();
    server = stage.serve().await;
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_or_fails_is_got_over() {
    let faults = Faults::none();
    let (stage, server) = Stage::set_in(&PLOT, faults.surroundings()).await;
    let mut answered = vec![stage.publish(&server).await.unwrap()];
    for errno in [EROFS, EIO] {
        faults.writes_end_with(errno);
        let refused = until_refused(&stage, &server, &mut answered).await;
        is_refused_clearly(&stage, &server, &refused).await;
        faults.writes_end_with(0);
        until_taken(&stage, &server, &mut answered).await;
        assert_eq!(status(&stage, &server, "/readyz").await, 200);
    }
    all_are_delivered(&stage, &server, &answered).await;
    server.terminate();
    assert_eq!(server.end().await.signal(), None);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_read_only_disk_it_does_not_start_and_changes_nothing() {
    let disk = Disk::of("20m");
    let (stage, server) = Stage::set_in(&PLOT, disk.surroundings()).await;
    let mut answered = vec![stage.publish(&server).await.unwrap()];
    server.kill();
    disk.run(&["mount", "-o", "remount,ro"]);
    let read =
        || ["heliostat.db", "heliostat.db-wal"].map(|name| std::fs::read(disk.path(name)).unwrap());
    let before = read();
    for _ in 0..3 {
        let line = does_not_start(&stage);
        assert!(line.contains("cannot open the database"), "{line}");
    }
    assert!(read() == before);
    disk.run(&["mount", "-o", "remount,rw"]);
    let server = stage.serve().await;
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_disk_does_not_take_is_not_acknowledged() {
    let faults = Faults::none();
    let (stage, mut server) = Stage::set_in(&PLOT, faults.surroundings()).await;
    let mut answered = vec![stage.publish(&server).await.unwrap()];
    for killed in [false, true] {
        // Everything can be written, and nothing is known to be on disk.
        faults.syncs_end_with(EIO);
        let refused = until_refused(&stage, &server, &mut answered).await;
        is_refused_clearly(&stage, &server, &refused).await;
        if killed {
            server.kill();
            let line = does_not_start(&stage);
            assert!(line.contains("cannot open the database"), "{line}");
            faults.syncs_end_with(0);
            server = stage.serve().await;
        }
        faults.syncs_end_with(0);
        until_taken(&stage, &server, &mut answered).await;
        assert_eq!(status(&stage, &server, "/readyz").await, 200);
        all_are_delivered(&stage, &server, &answered).await;
    }
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}

fn long_publishes(stage: &Stage) -> usize {
    let list = [
        "publishes",
        "list",
        "--instance",
        INSTANCE,
        "--interest",
        "nobody",
        "--limit",
        "100",
        "--json",
    ];
    let listed: Value = serde_json::from_str(&stage.manage(&list)).unwrap();
    listed["publishes"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_on_a_full_disk_changes_nothing() {
    let disk = Disk::of("48m");
    let (stage, server) = Stage::set_in(&PLOT, disk.surroundings()).await;
    let copy = stage.database().with_file_name("copy.db");
    let copy = copy.to_str().unwrap();
    stage.manage(&["backup", copy]);
    // These are in the log alone.
    let url = format!(
        "{}/publish_api/v1/instances/{INSTANCE}/publishes/interests",
        server.url
    );
    let body = json!({ "interests": ["nobody"], "apns": { "aps": { "alert": "x".repeat(LONG) } } });
    for _ in 0..LONG_PUBLISHES {
        let asked = stage.http.post(&url).bearer_auth(SECRET_KEY).json(&body);
        assert_eq!(asked.send().await.unwrap().status(), 200);
    }
    server.kill();
    let length = |name| disk.path(name).metadata().unwrap().len();
    assert!(length("heliostat.db-wal") > 0);
    // The copy has room, and what the log has does not.
    disk.fill_but(length("copy.db") + ROOM);
    let log = length("heliostat.db-wal");
    let output = stage
        .command(&["restore", copy, "--force"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("heliostat.db: ") && said.contains("full") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(length("heliostat.db-wal"), log);
    assert!(disk.path("heliostat.db.open").exists());
    assert!(!disk.path("heliostat.db.restoring").exists());
    disk.free();
    let server = stage.serve().await;
    assert_eq!(long_publishes(&stage), LONG_PUBLISHES);
    server.kill();
    stage.manage(&["restore", copy, "--force"]);
    assert_eq!(long_publishes(&stage), 0);
    stage.strike().await;
}
