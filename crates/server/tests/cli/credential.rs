//! `heliostat credential`, with the files that the emulators make.

use std::path::PathBuf;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use serde_json::{Value, json};
use store::Store as _;
use store::configuration::Configuration as _;
use store::sqlite::{SqliteSettings, SqliteStore};

use crate::program::Place;

/// Makes the emulators' files: where the APNs key and the service account are, and the key's two ids.
fn files(place: &Place) -> (String, String, String, String) {
    let mut emulators = place.start(&["emulate", "--out", "emulators"]);
    emulators.stderr_line(|line| line.contains("Ctrl-C stops"));
    emulators.signal("INT");
    assert!(emulators.wait().success());
    let env = std::fs::read_to_string(place.path("emulators/env.sh")).unwrap();
    let value = |name: &str| {
        let line = env
            .lines()
            .find_map(|line| line.strip_prefix(&format!("export {name}='")))
            .unwrap();
        line.trim_end_matches('\'').to_owned()
    };
    let path = |name: &str| {
        place
            .path(&format!("emulators/{name}"))
            .to_str()
            .unwrap()
            .to_owned()
    };
    (
        path("AuthKey.p8"),
        value("APNS_KEY_ID"),
        value("APNS_TEAM_ID"),
        path("service-account.json"),
    )
}

#[test]
fn are_set_shown_and_sealed() {
    let place = Place::new();
    let (id, _) = place.instance();
    let (key_file, key_id, team_id, account) = files(&place);
    let apns = [
        "credential",
        "set",
        "apns",
        "--instance",
        &id,
        "--key-file",
        &key_file,
        "--key-id",
        &key_id,
        "--team-id",
        &team_id,
    ];
    let said = place.ok(&apns);
    assert!(said.contains(&key_id) && said.contains(&team_id), "{said}");
    let said = place.json(&[
        "credential",
        "set",
        "fcm",
        "--instance",
        &id,
        "--service-account",
        &account,
    ]);
    assert_eq!(said["platform"], "fcm");
    // In place of the one before.
    place.ok(&apns);

    let shown = place.ok(&["instance", "show", &id]);
    assert!(
        shown.contains(&format!("key {key_id} of team {team_id}")),
        "{shown}"
    );
    let pem = std::fs::read_to_string(&key_file).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!shown.contains(secret));
    let list = place.json(&["credential", "list", "--instance", &id]);
    let states: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|credential| &credential["state"])
        .collect();
    assert_eq!(states, ["ok", "ok"]);
    assert!(
        place
            .ok(&["credential", "list", "--instance", &id])
            .contains("VAPID")
    );
    let table = place.ok(&["instance", "list"]);
    assert_eq!(table.matches(" ok ").count(), 2, "{table}");

    for name in ["heliostat.db", "heliostat.db-wal"] {
        let bytes = std::fs::read(place.path(name)).unwrap_or_default();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes()),
            "{name}"
        );
    }
}

#[test]
fn a_refused_one_is_shown_with_its_reason() {
    let place = Place::new();
    let (id, _) = place.instance();
    let (_, _, _, account) = files(&place);
    let set = [
        "credential",
        "set",
        "fcm",
        "--instance",
        &id,
        "--service-account",
        &account,
    ];
    place.ok(&set);
    mark_broken(&place, &id, "the project is closed");
    let shown = place.ok(&["instance", "show", &id]);
    assert!(
        shown.contains("broken since 2026-") && shown.contains("the project is closed"),
        "{shown}"
    );
    assert!(place.ok(&["instance", "list"]).contains(" broken "));
    let list = place.json(&["credential", "list", "--instance", &id]);
    assert_eq!(list[0]["state"], "broken");
    assert_eq!(list[0]["brokenReason"], "the project is closed");
    // A new one has a new chance.
    place.ok(&set);
    assert_eq!(
        place.json(&["credential", "list", "--instance", &id])[0]["state"],
        "ok"
    );
}

/// Writes down what the running server does when FCM refuses a credential.
fn mark_broken(place: &Place, id: &str, reason: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let settings = SqliteSettings::default();
        let store = SqliteStore::open(&place.path("heliostat.db"), settings)
            .await
            .unwrap();
        let id = InstanceId::parse(id).unwrap();
        let version = store.instance(id).await.unwrap().unwrap().credentials[0].version;
        let now = Timestamp::from_secs(1_795_400_000);
        let marked = store.mark_credential(id, Platform::Fcm, version, Some(reason), now);
        assert!(marked.await.unwrap());
        store.close().await;
    });
}

#[test]
fn a_wrong_apns_key_is_told_in_one_line() {
    let place = Place::new();
    let (id, _) = place.instance();
    let (key_file, key_id, team_id, account) = files(&place);
    let apns = |file: &str, key: &str, team: &str| {
        let words = ["credential", "set", "apns", "--instance", &id];
        let more = ["--key-file", file, "--key-id", key, "--team-id", team];
        place.fails(1, &[&words[..], &more].concat())
    };
    assert!(apns("missing.p8", &key_id, &team_id).contains("missing.p8"));
    assert!(apns(&key_file, "short", &team_id).contains("key id"));
    assert!(apns(&key_file, &key_id, "team").contains("team id"));
    assert!(apns(&account, &key_id, &team_id).contains("PRIVATE KEY"));
    let certificate = place.path("emulators/ca.pem");
    assert!(apns(certificate.to_str().unwrap(), &key_id, &team_id).contains("PRIVATE KEY"));
    let large = place.file("large.p8", &"x".repeat(100_000));
    assert!(apns(&large, &key_id, &team_id).contains("too many"));
    let directory: PathBuf = place.path("emulators");
    apns(directory.to_str().unwrap(), &key_id, &team_id);
    assert_eq!(
        place.json(&["credential", "list", "--instance", &id]),
        json!([])
    );
}

#[test]
fn a_wrong_service_account_is_told_in_one_line() {
    let place = Place::new();
    let (id, _) = place.instance();
    let (key_file, _, _, account) = files(&place);
    let fcm_of = |instance: &str, file: &str| {
        let words = [
            "credential",
            "set",
            "fcm",
            "--instance",
            instance,
            "--service-account",
            file,
        ];
        place.fails(1, &words)
    };
    let fcm = |file: &str| fcm_of(&id, file);
    assert!(fcm("missing.json").contains("missing.json"));
    assert!(fcm(&key_file).contains("service-account file"));
    let json = std::fs::read_to_string(&account).unwrap();
    let mut changed: Value = serde_json::from_str(&json).unwrap();
    changed["private_key"] = "none".into();
    let line = fcm(&place.file("changed.json", &changed.to_string()));
    assert!(
        line.contains("private_key") && line.contains("changed.json"),
        "{line}"
    );
    changed.as_object_mut().unwrap().remove("project_id");
    assert!(fcm(&place.file("changed.json", &changed.to_string())).contains("project_id"));

    let line = fcm_of("00000000-0000-4000-8000-000000000000", &account);
    assert!(line.contains("there is no instance"), "{line}");
    assert_eq!(
        place.json(&["credential", "list", "--instance", &id]),
        json!([])
    );
}
