//! Files that are damaged, or gone.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{PLOT, all_are_delivered, status, until_taken};
use crate::program::until;
use crate::stage::Stage;

const PAGE: usize = 4096;

/// Overwrites every page of the file that has these bytes in it. How many there were.
fn damage(file: &Path, with: &[u8]) -> usize {
    let bytes = std::fs::read(file).unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    let pages = bytes.chunks(PAGE).enumerate().skip(1);
    pages
        .filter(|(_, page)| page.windows(with.len()).any(|window| window == with))
        .map(|(number, _)| {
            file.write_all_at(&[0xa5; PAGE], (number * PAGE) as u64)
                .unwrap();
        })
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_told_stops_nothing_else_and_is_mended_by_a_restore() {
    let (stage, server) = Stage::set(&PLOT).await;
    let publish = stage.publish(&server).await.unwrap();
    all_are_delivered(&stage, &server, &[publish]).await;
    server.terminate();
    assert!(server.end().await.success());
    let copy = stage.path("copy.db");
    let copy = copy.to_str().unwrap();
    stage.manage(&["backup", copy]);
    // Where the devices are.
    assert!(damage(&stage.database(), b"android-11") > 0);

    let server = stage.serve().await;
    let refused = stage.try_register(&server, 11).await;
    assert_eq!(refused, 503, "{}", server.log());
    // What needs none of these pages works, and what does not is told where people look.
    assert_eq!(status(&stage, &server, "/readyz").await, 200);
    let told = |line: &str| {
        ["malformed", "the database is damaged", "docs/OPERATIONS.md"]
            .iter()
            .all(|part| line.contains(part))
    };
    assert!(server.log().lines().any(told), "{}", server.log());
    let accepted = stage.ask(&server).await;
    until("the fan-out to be told of", async || {
        server
            .log()
            .lines()
            .filter(|line| line.contains("malformed"))
            .nth(2)
            .map(drop)
    })
    .await;
    assert_eq!(
        status(&stage, &server, "/healthz").await,
        200,
        "{accepted:?}"
    );
    let output = stage
        .command(&["backup", copy, "--force"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success(),
        "a damaged database is not copied over a good copy"
    );
    assert!(
        said.contains("is damaged") && said.lines().count() == 1,
        "{said}"
    );
    server.terminate();
    server.end().await;

    stage.manage(&["restore", copy, "--force"]);
    let server = stage.serve().await;
    let mut answered = Vec::new();
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_torn_or_gone_leaves_a_whole_database() {
    let (stage, mut server) = Stage::set(&PLOT).await;
    let log = stage.database().with_extension("db-wal");
    let index = stage.database().with_extension("db-shm");
    let mut answered = Vec::new();
    until_taken(&stage, &server, &mut answered).await;
    server.kill();
    // The index of the log is made anew from it.
    std::fs::remove_file(&index).unwrap();
    server = stage.serve().await;
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    // A power cut in the middle of a write that was not answered yet.
    let file = std::fs::File::options().append(true).open(&log).unwrap();
    std::io::Write::write_all(&mut &file, &[0x5a; PAGE + PAGE / 2]).unwrap();
    drop(file);
    server = stage.serve().await;
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    // Without its log, the database is as it was when the log was last written into it: whole, and older.
    server.kill();
    std::fs::remove_file(&log).unwrap();
    let _ = std::fs::remove_file(&index);
    server = stage.serve().await;
    let copy = stage.path("copy.db");
    stage.manage(&["backup", copy.to_str().unwrap()]);
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}
