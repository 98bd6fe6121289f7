//! `heliostat backup` and `heliostat restore`: what is refused, and what comes back. Under load, with the server killed, it is
//! tested with the process.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use crate::program::Place;

/// Where SQLite keeps the version of a schema in a file.
const USER_VERSION_AT: u64 = 60;

fn exported(place: &Place, id: &str, database: &str) -> String {
    place.ok(&[
        "export",
        "devices",
        "--instance",
        id,
        "--database",
        database,
    ])
}

fn change(file: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Refused, with the database left as it is and nothing beside it.
fn restore_is_refused(place: &Place, file: &str, why: &str) {
    let before = std::fs::read(place.path("heliostat.db")).unwrap();
    let line = place.fails(1, &["restore", file, "--force"]);
    assert!(line.contains(why), "{line}");
    assert!(line.contains(file), "{line}");
    assert_eq!(std::fs::read(place.path("heliostat.db")).unwrap(), before);
    assert!(!place.path("heliostat.db.restoring").exists());
}

#[test]
fn a_copy_holds_what_the_database_held() {
    let (place, id) = Place::filled();
    let made = place.json(&["backup", "copy.db"]);
    assert_eq!(made["tables"]["devices"]["rows"], 300);
    assert_eq!(made["tables"]["users"]["rows"], 100);
    assert_eq!(made["tables"]["subscriptions"]["rows"], 600);
    let mode = place
        .path("copy.db")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!place.path("copy.db.part").exists() && !place.path("copy.db-wal").exists());
    let before = exported(&place, &id, "sqlite:heliostat.db");

    // Everything is changed, and comes back.
    place.ok(&["instance", "delete", &id, "--yes"]);
    let line = place.fails(1, &["restore", "copy.db"]);
    assert!(
        line.contains("heliostat.db is there already; --force replaces it"),
        "{line}"
    );
    let restored = place.json(&["restore", "copy.db", "--force"]);
    assert_eq!(restored["tables"], made["tables"]);
    assert_eq!(restored["madeAt"], made["madeAt"]);
    assert_eq!(exported(&place, &id, "sqlite:heliostat.db"), before);

    // And where there was nothing.
    let told = place.ok(&["restore", "copy.db", "--database", "sqlite:other.db"]);
    assert!(
        told.contains("the same row for row. No master key is set here"),
        "{told}"
    );
    let mode = place
        .path("other.db")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::copy(place.path("heliostat.db.key"), place.path("other.db.key")).unwrap();
    assert_eq!(exported(&place, &id, "sqlite:other.db"), before);
}

#[test]
fn nothing_that_is_there_is_overwritten_unasked() {
    let (place, _) = Place::filled();
    place.file("copy.db", "something else");
    let line = place.fails(1, &["backup", "copy.db"]);
    assert!(
        line.contains("copy.db is there already; --force replaces it"),
        "{line}"
    );
    assert_eq!(
        std::fs::read(place.path("copy.db")).unwrap(),
        b"something else"
    );
    place.ok(&["backup", "copy.db", "--force"]);
    for own in [
        "heliostat.db",
        "./heliostat.db",
        "heliostat.db.key",
        "heliostat.db-wal",
    ] {
        let line = place.fails(1, &["backup", own, "--force"]);
        assert!(
            line.contains("is the database itself or belongs to it"),
            "{line}"
        );
    }
    let line = place.fails(1, &["backup", "no/such/folder.db"]);
    assert!(line.contains("cannot write no/such/folder.db"), "{line}");
    let line = place.fails(1, &["backup", "x.db", "--database", "sqlite:none.db"]);
    assert!(line.contains("there is no database none.db"), "{line}");
    let line = place.fails(1, &["restore", "none.db", "--force"]);
    assert!(line.contains("there is no file none.db"), "{line}");
    assert!(!place.path("none.db").exists() && !place.path("x.db").exists());
}

#[test]
fn what_is_no_whole_copy_is_not_restored() {
    let (place, _) = Place::filled();
    place.ok(&["backup", "copy.db"]);
    let whole = std::fs::read(place.path("copy.db")).unwrap();
    let copy = |name: &str, bytes: &[u8]| {
        std::fs::write(place.path(name), bytes).unwrap();
        place.path(name)
    };
    // As a copy that broke off.
    copy("torn.db", &whole[..whole.len() / 2]);
    restore_is_refused(&place, "torn.db", "malformed");
    copy("empty.db", b"");
    restore_is_refused(&place, "empty.db", "no database of Heliostat");
    // A page of zeros, as a bad disk leaves it.
    let holed = copy("holed.db", &whole);
    change(&holed, 4096 * 20, &[0; 4096]);
    restore_is_refused(&place, "holed.db", "is damaged");
    // A value that SQLite has no means to miss.
    let at = whole.windows(4).position(|bytes| bytes == b"shop").unwrap();
    let changed = copy("changed.db", &whole);
    change(&changed, at as u64, b"shap");
    restore_is_refused(
        &place,
        "changed.db",
        "is not what it was when the copy was made",
    );
    copy("diary.db", "Dear diary, ".repeat(1000).as_bytes());
    restore_is_refused(&place, "diary.db", "not a database");
    let newer = copy("newer.db", &whole);
    change(&newer, USER_VERSION_AT, &99_u32.to_be_bytes());
    restore_is_refused(&place, "newer.db", "schema version 99");
    // With `cp`, half of it may be in its log.
    copy("cp.db", &whole);
    copy("cp.db-wal", b"frames");
    restore_is_refused(&place, "cp.db", "cp.db-wal is not empty");
}

#[test]
fn secrets_under_another_master_key_are_not_restored() {
    let (mut place, _) = Place::filled();
    place.ok(&["backup", "copy.db"]);
    place.set(
        "HELIOSTAT_MASTER_KEY",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    restore_is_refused(&place, "copy.db", "the secrets in copy.db cannot be opened");
}

#[test]
fn the_log_of_a_database_that_is_gone_is_not_mixed_in() {
    let (place, _) = Place::filled();
    place.ok(&["backup", "copy.db"]);
    place.file("other.db-wal", "what is left of another database");
    let into_other = ["restore", "copy.db", "--database", "sqlite:other.db"];
    let line = place.fails(1, &into_other);
    assert!(
        line.contains("other.db-wal is left of another database"),
        "{line}"
    );
    assert!(!place.path("other.db").exists());
    place.ok(&[&into_other[..], &["--force"]].concat());
    assert!(!place.path("other.db-wal").exists());
}

#[test]
fn a_database_in_use_is_copied_and_not_replaced() {
    for roles in ["api,worker", "api"] {
        let (mut place, _) = Place::filled();
        place.set("HELIOSTAT_ROLES", roles);
        let (mut server, _) = place.serve();
        place.ok(&["backup", "copy.db"]);
        let line = place.fails(1, &["restore", "copy.db", "--force"]);
        assert!(
            line.contains("works on the database ./heliostat.db: stop it first"),
            "{line}"
        );
        server.signal("TERM");
        assert!(server.wait().success());
        place.ok(&["restore", "copy.db", "--force"]);
        let (mut server, _) = place.serve();
        server.signal("TERM");
        assert!(server.wait().success());
    }
}

#[test]
fn a_damaged_database_is_not_copied_and_can_be_replaced() {
    let (place, id) = Place::filled();
    place.ok(&["backup", "copy.db"]);
    let before = exported(&place, &id, "sqlite:heliostat.db");
    change(&place.path("heliostat.db"), 4096 * 20, &[0xa5; 4096]);
    let line = place.fails(1, &["backup", "new.db"]);
    assert!(line.contains("is damaged"), "{line}");
    assert!(!place.path("new.db").exists() && !place.path("new.db.part").exists());
    // So that SQLite does not even open it.
    change(&place.path("heliostat.db"), 0, &[0xa5; 4096]);
    place.ok(&["restore", "copy.db", "--force"]);
    assert_eq!(exported(&place, &id, "sqlite:heliostat.db"), before);
}

#[test]
fn postgresql_has_tools_of_its_own() {
    let place = Place::new();
    let url = "postgres://heliostat@127.0.0.1:1/heliostat";
    for command in ["backup", "restore"] {
        let line = place.fails(1, &[command, "copy.db", "--database", url]);
        assert!(
            line.contains("pg_dump") && line.contains("docs/OPERATIONS.md"),
            "{line}"
        );
    }
    assert!(!place.path("copy.db").exists());
}
