//! `heliostat migrate` between two files. Between SQLite and PostgreSQL it is tested with the cluster.

use crate::program::Place;

const FROM: &str = "sqlite:heliostat.db";
const TO: &str = "sqlite:other.db";

#[test]
fn everything_is_there_afterwards() {
    let (mut place, id) = Place::filled();
    let key = std::fs::read_to_string(place.path("heliostat.db.key")).unwrap();
    let moved = place.json(&["migrate", "--from", FROM, "--to", TO]);
    assert_eq!(moved["kinds"]["devices"]["rows"], 300);
    assert_eq!(moved["kinds"]["users"]["rows"], 100);
    assert_eq!(moved["kinds"]["subscriptions"]["rows"], 600);
    assert_eq!(moved["kinds"]["secret_keys"]["rows"], 1);
    assert_eq!(moved["resumedRows"], 0);
    // No master key was made for the target: it is the source's that opens what was moved.
    assert!(!place.path("other.db.key").exists());
    place.set("HELIOSTAT_MASTER_KEY", key.trim());
    let exported = |database| {
        place.ok(&[
            "export",
            "devices",
            "--instance",
            &id,
            "--database",
            database,
        ])
    };
    assert_eq!(exported(FROM), exported(TO));
    let token = |database| place.ok(&["token", "--instance", &id, "ann", "--database", database]);
    assert_eq!(token(FROM).split('.').count(), 3);
    assert_eq!(token(TO).split('.').count(), 3);

    // A second time there is something in it.
    let line = place.fails(1, &["migrate", "--from", FROM, "--to", TO]);
    assert!(line.contains("the target is not empty"), "{line}");
    let line = place.fails(1, &["migrate", "--from", TO, "--to", TO]);
    assert!(line.contains("the same database"), "{line}");
}

#[test]
fn a_database_in_use_is_left_alone() {
    let (place, _) = Place::filled();
    let (mut server, _) = place.serve();
    let line = place.fails(1, &["migrate", "--from", FROM, "--to", TO]);
    assert!(line.contains("1 servers run on the source"), "{line}");
    server.signal("TERM");
    assert!(server.wait().success());
    let moved = place.ok(&["migrate", "--from", FROM, "--to", TO]);
    assert!(moved.contains("both sides are the same"), "{moved}");
}

#[test]
fn what_cannot_be_moved_is_one_line() {
    let place = Place::new();
    let line = place.fails(1, &["migrate", "--from", FROM, "--to", TO]);
    assert!(
        line.contains("there is no database sqlite:heliostat.db"),
        "{line}"
    );
    assert!(!place.path("heliostat.db").exists() && !place.path("other.db").exists());
    place.fails(1, &["migrate", "--from", "mysql:x", "--to", TO]);
    // What is sealed stays sealed: no master key is asked for.
    let nowhere = "postgres://heliostat@127.0.0.1:1/heliostat";
    let line = place.fails(1, &["migrate", "--from", nowhere, "--to", TO]);
    assert!(line.contains("cannot open the database"), "{line}");
    place.fails(2, &["migrate", "--from", FROM]);
}
