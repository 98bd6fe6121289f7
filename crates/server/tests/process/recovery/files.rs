//! Files that are damaged, or gone.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{PLOT, all_are_delivered, does_not_start, status, until_refused, until_taken};
use crate::program::{Server, until};
use crate::stage::{Answer, Stage};

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

/// Overwrites the first page of a table, on which all of it is as long as it is small, in a database that nobody has open.
fn damage_table(file: &Path, table: &str) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: u32 = connection
        .query_row(root, [table], |row| row.get(0))
        .unwrap();
    connection.close().unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    let at = (u64::from(page) - 1) * PAGE as u64;
    file.write_all_at(&[0xa5; PAGE], at).unwrap();
}

/// Waits until the log has this in so many lines.
async fn until_told(server: &Server, what: &str, lines: usize) {
    until(what, async || {
        let log = server.log();
        let told = log.lines().filter(|line| line.contains(what)).count();
        (told >= lines).then_some(())
    })
    .await;
}

/// A database whose last publish is delivered and that nobody has open, and a copy of it.
async fn backed_up() -> (Stage, String) {
    let (stage, server) = Stage::set(&PLOT).await;
    let publish = stage.publish(&server).await.unwrap();
    all_are_delivered(&stage, &server, &[publish]).await;
    server.terminate();
    assert!(server.end().await.success());
    let copy = stage.path("copy.db").to_str().unwrap().to_owned();
    stage.manage(&["backup", &copy]);
    (stage, copy)
}

async fn is_mended_by_a_restore(stage: Stage, copy: &str) {
    stage.manage(&["restore", copy, "--force"]);
    let server = stage.serve().await;
    let mut answered = Vec::new();
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    assert_eq!(status(&stage, &server, "/readyz").await, 200);
    server.kill();
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_told_stops_nothing_else_and_is_mended_by_a_restore() {
    let (stage, copy) = backed_up().await;
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
    // Accepting it needs none of the damaged pages; its fan-out does.
    let accepted = stage.ask(&server).await;
    assert!(matches!(accepted, Answer::Taken(_)), "{accepted:?}");
    // It is left, and looked at again after each lease.
    until_told(&server, "a page of an audience cannot be read", 3).await;
    assert_eq!(status(&stage, &server, "/healthz").await, 200);
    let output = stage
        .command(&["backup", &copy, "--force"])
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
    is_mended_by_a_restore(stage, &copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_damaged_queue_it_does_not_start() {
    for table in ["jobs", "retries"] {
        let (stage, copy) = backed_up().await;
        damage_table(&stage.database(), table);
        for _ in 0..3 {
            let line = does_not_start(&stage);
            for part in ["cannot open the database", "is damaged"] {
                assert!(line.contains(part), "{line}");
            }
        }
        is_mended_by_a_restore(stage, &copy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_cannot_be_noted_is_not_sent_again() {
    let (stage, copy) = backed_up().await;
    // Every page of a fan-out adds to it.
    damage_table(&stage.database(), "tallies");
    let server = stage.serve().await;
    let Answer::Taken(publish) = stage.ask(&server).await else {
        panic!("accepting it needs nothing that is damaged");
    };
    // Longer than the store is asked often, and several leases more.
    until_told(&server, "the store did not take what was done", 28).await;
    assert_eq!(stage.receipts.devices(&publish), PLOT.page_length);
    assert_eq!(stage.receipts.repeated(&publish), 0, "{}", server.log());
    assert_eq!(status(&stage, &server, "/readyz").await, 200);
    server.terminate();
    assert!(server.end().await.success());
    is_mended_by_a_restore(stage, &copy).await;
}

/// The log, and the index of it.
fn logs(stage: &Stage) -> [PathBuf; 2] {
    ["db-wal", "db-shm"].map(|end| stage.database().with_extension(end))
}

/// A server that is started after everything before was written into the database.
async fn reopened(stage: &Stage, server: Server) -> Server {
    server.terminate();
    assert!(server.end().await.success());
    assert!(!stage.database().with_extension("db.open").exists());
    stage.serve().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_torn_or_without_its_index_is_read() {
    let (stage, mut server) = Stage::set(&PLOT).await;
    let [log, index] = logs(&stage);
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
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_deleted_after_a_crash_is_missed() {
    let (stage, server) = Stage::set(&PLOT).await;
    let server = reopened(&stage, server).await;
    let [log, index] = logs(&stage);
    let lost = stage.publish(&server).await.unwrap();
    all_are_delivered(&stage, &server, &[lost]).await;
    server.kill();
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_file(&index).unwrap();
    let before = std::fs::read(stage.database()).unwrap();
    for _ in 0..3 {
        let line = does_not_start(&stage);
        for part in [
            "cannot open the database",
            "heliostat.db-wal is gone",
            "--accept-lost-log",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
    // Nor does any other command begin a new log.
    let copy = stage.path("copy.db");
    for words in [
        &["instance", "list"][..],
        &["backup", copy.to_str().unwrap()],
    ] {
        let output = stage.command(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("heliostat.db-wal is gone"), "{said}");
    }
    assert!(!log.exists() && std::fs::read(stage.database()).unwrap() == before);
    // What is there without the log goes on.
    let accepting = ["serve", "--listen", "127.0.0.1:0", "--accept-lost-log"];
    let server = stage.serve_as(&accepting).await;
    let mut answered = Vec::new();
    until_taken(&stage, &server, &mut answered).await;
    server.kill();
    // From then on it is a database like any other.
    let server = stage.serve().await;
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_deleted_while_it_is_used_stops_all_writing_and_loses_nothing() {
    for orderly in [true, false] {
        let (stage, server) = Stage::set(&PLOT).await;
        let server = reopened(&stage, server).await;
        let [log, _] = logs(&stage);
        let mut answered = Vec::new();
        until_taken(&stage, &server, &mut answered).await;
        // These are in the log alone, and under way.
        std::fs::remove_file(&log).unwrap();
        let refused = until_refused(&stage, &server, &mut answered).await;
        assert_eq!(refused, Answer::Refused(503, Some("1".to_owned())));
        assert_eq!(stage.try_register(&server, PLOT.devices + 1).await, 503);
        assert_eq!(status(&stage, &server, "/readyz").await, 503);
        assert_eq!(status(&stage, &server, "/healthz").await, 200);
        let told = "heliostat.db-wal of the database was deleted or replaced";
        assert!(server.log().contains(told), "{}", server.log());
        let server = if orderly {
            server.terminate();
            assert!(server.end().await.success());
            stage.serve().await
        } else {
            // It was written into the database when that was noticed.
            server.kill();
            let line = does_not_start(&stage);
            assert!(line.contains("heliostat.db-wal is gone"), "{line}");
            let accepting = ["serve", "--listen", "127.0.0.1:0", "--accept-lost-log"];
            stage.serve_as(&accepting).await
        };
        until_taken(&stage, &server, &mut answered).await;
        all_are_delivered(&stage, &server, &answered).await;
        server.kill();
        stage.strike().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_moved_away_while_it_is_used_stops_all_writing() {
    let (stage, server) = Stage::set(&PLOT).await;
    let mut answered = Vec::new();
    until_taken(&stage, &server, &mut answered).await;
    let away = stage.path("away.db");
    std::fs::rename(stage.database(), &away).unwrap();
    let refused = until_refused(&stage, &server, &mut answered).await;
    assert_eq!(refused, Answer::Refused(503, Some("1".to_owned())));
    assert_eq!(status(&stage, &server, "/readyz").await, 503);
    server.kill();
    // An empty one in its place would be worse.
    let line = does_not_start(&stage);
    assert!(line.contains("the database itself is gone"), "{line}");
    std::fs::rename(&away, stage.database()).unwrap();
    let server = stage.serve().await;
    until_taken(&stage, &server, &mut answered).await;
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}
