//! `heliostat doctor`, with the emulators as gateways.

use serde_json::Value;

use crate::program::{Place, Running};

/// What it found, by what it looked at, and its exit code.
fn ask(place: &Place) -> (Value, Option<i32>) {
    let output = place.run_with(&["doctor", "--json"], "");
    let told = serde_json::from_slice(&output.stdout);
    let told: Value = told.unwrap_or_else(|_| panic!("{output:?}"));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.is_empty(), told["wrong"] == 0, "{line}");
    assert!(line.lines().count() <= 1, "{line}");
    (told, output.status.code())
}

fn state(told: &Value, what: &str) -> String {
    let checks = told["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["what"] == what);
    let check = check.unwrap_or_else(|| panic!("{what} in {told:#}"));
    check["state"].as_str().unwrap().to_owned()
}

/// Starts the emulators, and lets the program know of them. What their `env.sh` says.
fn with_emulators(place: &mut Place) -> (Running, Vec<(String, String)>) {
    let mut emulators = place.start(&["emulate", "--out", "emulators"]);
    emulators.stderr_line(|line| line.contains("Ctrl-C stops"));
    let text = std::fs::read_to_string(place.path("emulators/env.sh")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("export "));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let env: Vec<_> = pairs
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect();
    for (name, value) in env
        .iter()
        .filter(|(name, _)| name.starts_with("HELIOSTAT_"))
    {
        place.set(name, value);
    }
    (emulators, env)
}

#[test]
fn a_machine_that_has_everything_is_told_so_and_a_lost_gateway_is_named() {
    let mut place = Place::new();
    let (id, _) = place.instance();
    let (mut emulators, env) = with_emulators(&mut place);
    let value = |name: &str| &env.iter().find(|(known, _)| known == name).unwrap().1;
    let account = value("EMULATOR_SERVICE_ACCOUNT_FILE");
    let set = ["credential", "set", "fcm", "--instance", &id];
    let set = [&set[..], &["--service-account", account]].concat();
    assert!(place.run_with(&set, "").status.success());

    let (told, code) = ask(&place);
    assert_eq!(
        (code, &told["wrong"]),
        (Some(0), &Value::from(0)),
        "{told:#}"
    );
    for what in ["configuration", "database", "APNs", "FCM"] {
        assert_eq!(state(&told, what), "ok", "{what} in {told:#}");
    }
    let checks = told["checks"].as_array().unwrap();
    let of_credential = checks.iter().find(|check| {
        let what = check["what"].as_str().unwrap();
        what.starts_with("fcm of ")
    });
    assert_eq!(of_credential.unwrap()["state"], "ok", "{told:#}");

    emulators.signal("INT");
    assert!(emulators.wait().success());
    let (told, code) = ask(&place);
    assert_eq!(
        (code, &told["wrong"]),
        (Some(1), &Value::from(2)),
        "{told:#}"
    );
    assert_eq!(state(&told, "database"), "ok");
    assert_eq!(
        (state(&told, "APNs"), state(&told, "FCM")),
        ("wrong".into(), "wrong".into())
    );
    // The emulators tell no time, so that no test depends on this machine's clock.
    assert_eq!(state(&told, "clock"), "unknown");
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_made() {
    let mut place = Place::new();
    place.set("HELIOSTAT_APNS_URL", "https://127.0.0.1:1");
    place.set("HELIOSTAT_FCM_URL", "https://127.0.0.1:1");
    let (told, code) = ask(&place);
    assert_eq!(code, Some(1));
    assert_eq!(state(&told, "database"), "wrong");
    assert!(!place.path("heliostat.db").exists());

    place.file("heliostat.db", "this is no database");
    assert_eq!(state(&ask(&place).0, "database"), "wrong");

    place.set("HELIOSTAT_LISTEN", "nowhere");
    let (told, code) = ask(&place);
    assert_eq!(
        (code, state(&told, "configuration")),
        (Some(1), "wrong".into())
    );
}
