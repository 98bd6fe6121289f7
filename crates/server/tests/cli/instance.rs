//! `heliostat instance`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::program::Place;

const ID: &str = "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11";

#[test]
fn without_a_database_nothing_is_made_by_looking() {
    let place = Place::new();
    for words in [
        &["instance", "list"][..],
        &["instance", "show", ID],
        &["instance", "delete", ID, "--yes"],
        &["instance", "key", "list", "--instance", ID],
        &["token", "--instance", ID, "alice"],
        &[
            "instance",
            "list",
            "--database",
            "sqlite:/nowhere/at/all.db",
        ],
    ] {
        let line = place.fails(1, words);
        assert!(
            line.contains("there is no database") && line.contains("--database"),
            "{line}"
        );
    }
    assert!(!place.path("heliostat.db").exists() && !place.path("heliostat.db.key").exists());
}

#[test]
fn the_first_one_makes_database_and_master_key() {
    let place = Place::new();
    let created = place.json(&["instance", "create", "--name", "shop"]);
    assert_eq!(created["name"], "shop");
    assert_eq!(created["secretKey"].as_str().unwrap().len(), 64);
    assert_eq!(created["vapidPublicKey"].as_str().unwrap().len(), 87);
    let mode = std::fs::metadata(place.path("heliostat.db.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let database = std::fs::read(place.path("heliostat.db")).unwrap();
    let key = created["secretKey"].as_str().unwrap().as_bytes();
    assert!(
        !database.windows(key.len()).any(|window| window == key),
        "the key is in the clear"
    );
}

#[test]
fn id_and_key_may_be_brought_along() {
    let mut place = Place::new();
    let text = place.ok(&[
        "instance",
        "create",
        "--name",
        "shop",
        "--id",
        ID,
        "--secret-key",
        "brought-along-0001",
    ]);
    assert!(
        text.contains(ID) && text.contains("brought-along-0001"),
        "{text}"
    );
    // A database that nobody meant is made as well as the right one.
    assert!(
        text.contains("\nMade in     sqlite:./heliostat.db\n"),
        "{text}"
    );
    let line = place.fails(1, &["instance", "create", "--name", "other", "--id", ID]);
    assert!(line.contains("exists already"), "{line}");
    let shown = place.ok(&["instance", "show", ID]);
    assert!(
        shown.contains("shop") && shown.contains("…0001") && shown.contains("not set"),
        "{shown}"
    );
    assert!(!shown.contains("brought-along"), "{shown}");
    let shown = place.json(&["instance", "show", "--instance", ID]);
    assert_eq!(shown["secretKeys"][0]["hint"], "…0001");
    assert_eq!(shown["credentials"], json!([]));
    assert!(!shown.to_string().contains("brought-along"));
    assert_eq!(
        (&shown["devices"], &shown["devicesMax"]),
        (&json!(0), &json!(null))
    );
    place.set("HELIOSTAT_LIMITS_DEVICES_PER_INSTANCE", "7");
    let shown = place.ok(&["instance", "show", ID]);
    assert!(shown.contains("Devices      0 of 7"), "{shown}");
}

#[test]
fn a_secret_key_may_come_from_standard_input() {
    let place = Place::new();
    let words = [
        "instance",
        "create",
        "--name",
        "shop",
        "--secret-key",
        "-",
        "--json",
    ];
    let created: serde_json::Value =
        serde_json::from_str(&place.ok_with(&words, "from-a-pipe\n")).unwrap();
    assert_eq!(created["secretKey"], "from-a-pipe");
    place.fails_with(2, &words, "");
    place.fails_with(2, &words, &"x".repeat(100_000));
}

#[test]
fn what_breaks_a_rule_is_told_and_no_secret_with_it() {
    let place = Place::new();
    let line = place.fails(
        2,
        &[
            "instance",
            "create",
            "--name",
            "a",
            "--secret-key",
            "sec ret",
        ],
    );
    assert!(
        line.contains("--secret-key") && !line.contains("sec ret"),
        "{line}"
    );
    let line = place.fails(2, &["instance", "create", "--name", ""]);
    assert!(line.contains("--name"), "{line}");
    let line = place.fails(2, &["instance", "create", "--name", "a", "--id", "42"]);
    assert!(line.contains("UUID"), "{line}");
    let line = place.fails(2, &["instance", "create"]);
    assert!(line.contains("--name"), "{line}");
    let line = place.fails(
        1,
        &[
            "instance",
            "create",
            "--name",
            "a",
            "--database",
            "sqlite:/nowhere/at/all.db",
        ],
    );
    assert!(line.contains("/nowhere/at/all.db"), "{line}");
    let line = place.fails(
        1,
        &[
            "instance",
            "create",
            "--name",
            "a",
            "--config",
            "nothing.toml",
        ],
    );
    assert!(line.contains("nothing.toml"), "{line}");
    assert!(!place.path("heliostat.db").exists());
}

#[test]
fn list_shows_all_of_them() {
    let place = Place::new();
    let (first, _) = place.instance();
    let (second, _) = place.instance();
    let table = place.ok(&["instance", "list"]);
    assert_eq!(table.lines().count(), 3);
    assert!(
        table.starts_with("ID ") && table.contains(&first) && table.contains(&second),
        "{table}"
    );
    assert_eq!(
        place.json(&["instance", "list"]).as_array().unwrap().len(),
        2
    );
}

#[test]
fn delete_asks_first() {
    let place = Place::new();
    let (id, _) = place.instance();
    let line = place.fails(1, &["instance", "delete", &id]);
    assert!(line.contains("--yes"), "{line}");
    place.ok(&["instance", "show", &id]);
    place.ok(&["instance", "delete", &id, "--yes"]);
    let line = place.fails(1, &["instance", "show", &id]);
    assert!(
        line.contains(&id) && line.contains("instance list"),
        "{line}"
    );
    place.fails(1, &["instance", "delete", &id, "--yes"]);
    assert!(place.ok(&["instance", "list"]).contains("No instances"));
    assert_eq!(place.json(&["instance", "list"]), json!([]));
}

#[test]
fn keys_are_rotated() {
    let place = Place::new();
    let (id, first_key) = place.instance();
    let list = place.json(&["instance", "key", "list", "--instance", &id]);
    let first = list[0]["number"].to_string();
    let line = place.fails(1, &["instance", "key", "revoke", "--instance", &id, &first]);
    assert!(line.contains("last one"), "{line}");

    let added = place.json(&["instance", "key", "add", "--instance", &id]);
    assert_ne!(added["secretKey"], first_key);
    let table = place.ok(&["instance", "key", "list", "--instance", &id]);
    assert_eq!(table.lines().count(), 3);
    assert!(
        !table.contains(&first_key) && table.contains(&first_key[60..]),
        "{table}"
    );

    place.ok(&["instance", "key", "revoke", "--instance", &id, &first]);
    let list = place.json(&["instance", "key", "list", "--instance", &id]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["number"], added["number"]);
    let line = place.fails(1, &["instance", "key", "revoke", "--instance", &id, &first]);
    assert!(line.contains("no such secret key"), "{line}");
    let other = "00000000-0000-4000-8000-000000000000";
    for words in [
        &["instance", "key", "add", "--instance", other][..],
        &["instance", "key", "revoke", "--instance", other, "1"],
    ] {
        assert!(place.fails(1, words).contains("there is no instance"));
    }
}

#[test]
fn the_master_key_is_needed_and_told_when_lost() {
    let place = Place::new();
    let (id, _) = place.instance();
    std::fs::rename(place.path("heliostat.db.key"), place.path("elsewhere")).unwrap();
    let line = place.fails(1, &["instance", "list"]);
    assert!(
        line.contains("heliostat.db.key") && line.contains("HELIOSTAT_MASTER_KEY"),
        "{line}"
    );

    // Another key opens nothing.
    let other = Place::new();
    other.instance();
    std::fs::copy(
        other.path("heliostat.db.key"),
        place.path("heliostat.db.key"),
    )
    .unwrap();
    let line = place.fails(1, &["token", "--instance", &id, "alice"]);
    assert!(line.contains("needs the master key"), "{line}");
}

#[test]
fn help_shows_every_command_and_no_secret() {
    let mut place = Place::new();
    place.set("HELIOSTAT_SECRET_KEY", "hunter2-in-the-environment");
    let help = place.ok(&["--help"]);
    for command in [
        "serve",
        "emulate",
        "demo",
        "instance",
        "credential",
        "token",
        "publish",
        "Exit codes",
    ] {
        assert!(help.contains(command), "{command} is missing: {help}");
    }
    for command in ["token", "publish"] {
        let help = place.ok(&[command, "--help"]);
        assert!(
            help.contains("HELIOSTAT_SECRET_KEY") && !help.contains("hunter2"),
            "{help}"
        );
    }
    assert!(place.ok(&["--version"]).starts_with("heliostat "));
    let line = place.fails(2, &["launch"]);
    assert!(line.contains("launch") && line.contains("--help"), "{line}");
    place.fails(2, &[]);
}
