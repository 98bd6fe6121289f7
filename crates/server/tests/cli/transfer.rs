//! `heliostat import` and `heliostat export`: the real program on real files, with a server and without.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::program::Place;

// The receiver of RFC 8291 appendix A.
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

fn web_token(number: usize) -> String {
    let endpoint = format!("https://push.example.com/{number}");
    let keys = json!({"p256dh": P256DH, "auth": AUTH});
    let json = json!({"endpoint": endpoint, "expirationTime": null, "keys": keys});
    STANDARD.encode(json.to_string())
}

fn three_lines() -> String {
    [
        json!({"platform": "apns", "token": "ABCD", "bundleIdentifier": "com.example", "userId": "ann", "interests": ["a", "b"]}),
        json!({"platform": "fcm", "token": "t", "userId": "ann", "interests": [], "metadata": {"sdkVersion": "1"}}),
        json!({"platform": "web", "token": web_token(1), "interests": ["a"]}),
    ]
    .iter()
    .fold(String::new(), |text, line| text + &line.to_string() + "\n")
}

/// Runs an import that skips lines. What it answered, and what it complained of, line by line.
fn skipping(place: &Place, id: &str, more: &[&str], input: &str) -> (Value, Vec<String>) {
    let mut words = vec!["import", "devices", "--instance", id, "-", "--json"];
    words.extend(more);
    let output = place.run_with(&words, input);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap();
    (answer, stderr.lines().map(str::to_owned).collect())
}

fn export(place: &Place, id: &str) -> Vec<Value> {
    place
        .ok(&["export", "devices", "--instance", id])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_imported_is_exported_and_again() {
    let place = Place::new();
    let (id, _) = place.instance();
    let file = place.file("devices.ndjson", &three_lines());
    let import = ["import", "devices", "--instance", &id, &file];
    let done = place.json(&import);
    let expected = json!({"instance": id, "registered": 3, "updated": 0, "unchanged": 0, "bound": 2, "subscriptions": 3, "skipped": 0});
    assert_eq!(done, expected);
    let again = place.ok(&import);
    assert!(again.contains("Unchanged      3"), "{again}");

    let exported = export(&place, &id);
    let log = place.json(&["audit-log", "--instance", &id]);
    let told = log["entries"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|entry| entry["action"].clone()).collect();
    let import = "device.import";
    assert_eq!(told[..3], ["device.export", import, import], "{log}");
    let of = |platform: &str| {
        exported
            .iter()
            .find(|line| line["platform"] == platform)
            .unwrap()
    };
    assert_eq!(of("apns")["token"], "abcd");
    assert_eq!(of("apns")["bundleIdentifier"], "com.example");
    assert_eq!(of("apns")["userId"], "ann");
    assert_eq!(of("apns")["interests"], json!(["a", "b"]));
    assert_eq!(of("fcm")["metadata"], json!({"sdkVersion": "1"}));
    assert!(of("web")["id"].as_str().unwrap().starts_with("web-"));
    assert!(of("web").get("userId").is_none());

    // A whole instance moves, ids included, to another database.
    let all = place.path("all.ndjson").to_str().unwrap().to_owned();
    let told = place.ok(&["export", "devices", "--instance", &id, &all]);
    assert!(told.contains("Exported 3 devices"), "{told}");
    let mode = std::fs::metadata(&all).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has gateway tokens in it");
    let elsewhere = Place::new();
    let (other, _) = elsewhere.instance();
    let text = std::fs::read_to_string(&all).unwrap();
    elsewhere.ok_with(&["import", "devices", "--instance", &other, "-"], &text);
    assert_eq!(export(&elsewhere, &other), exported);
}

#[test]
fn bad_lines_are_named_and_skipped() {
    let place = Place::new();
    let (id, _) = place.instance();
    let mut input = three_lines();
    input += "\nnonsense\n";
    input += &"x".repeat(3 << 20);
    input += "\n{\"platform\":\"fcm\",\"token\":\"t\",\"userId\":\"bob\"}\r\n";
    input += "{\"platform\":\"fcm\",\"token\":\"last\"}";
    let (answer, told) = skipping(&place, &id, &[], &input);
    assert_eq!(answer["registered"], 4);
    assert_eq!(answer["skipped"], 3);
    let starts = [
        "line 5: it is no JSON",
        "line 6: it has over",
        "line 7: the device belongs to another user",
    ];
    for (line, start) in told.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(
        told[3].starts_with("heliostat: 3 lines of standard input were skipped"),
        "{}",
        told[3]
    );
    assert_eq!(export(&place, &id).len(), 4);
}

#[test]
fn a_bad_line_may_stop_it_and_it_may_be_begun_anew() {
    let place = Place::new();
    let (id, _) = place.instance();
    let line = |token: &str| {
        format!("{{\"platform\":\"fcm\",\"token\":\"{token}\",\"userId\":\"ann\"}}\n")
    };
    let input = line("a") + "nonsense\n" + &line("b");
    let words = [
        "import",
        "devices",
        "--instance",
        &id,
        "-",
        "--on-error",
        "stop",
    ];
    let told = place.fails_with(1, &words, &input);
    assert!(
        told.contains("line 2 of standard input: it is no JSON"),
        "{told}"
    );
    assert_eq!(export(&place, &id).len(), 1);
    // What the store refuses stops it as well, within a batch.
    let bobs = line("a").replace("ann", "bob");
    let told = place.fails_with(1, &words, &(line("b") + &bobs + &line("c")));
    assert!(
        told.contains("line 2 of standard input: the device belongs"),
        "{told}"
    );
    assert_eq!(export(&place, &id).len(), 2);
    place.ok_with(&words, &(line("a") + &line("b") + &line("c")));
    assert_eq!(export(&place, &id).len(), 3);
}

#[test]
fn limits_hold() {
    let place = Place::new();
    let (id, _) = place.instance();
    let mut input = String::new();
    for number in 0..102 {
        let line = json!({"platform": "fcm", "token": format!("t{number}"), "userId": "ann"});
        input += &(line.to_string() + "\n");
    }
    let interests: Vec<String> = (0..5001).map(|number| format!("i{number}")).collect();
    let line = json!({"platform": "web", "token": web_token(1), "interests": interests});
    input += &(line.to_string() + "\n");
    let line = json!({"platform": "web", "token": web_token(2), "interests": interests[1..]});
    input += &line.to_string();
    let (answer, told) = skipping(&place, &id, &[], &input);
    assert_eq!(answer["registered"], 101);
    assert_eq!(answer["bound"], 100);
    assert_eq!(answer["subscriptions"], 5000);
    let starts: Vec<&str> = told
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(starts, ["line 101", "line 102", "line 103", "heliostat"]);
}

#[test]
fn works_beside_a_running_server() {
    let place = Place::new();
    let (id, _) = place.instance();
    let (mut server, url) = place.serve();
    let input: String = (0..9000)
        .map(|number| format!("{{\"platform\":\"fcm\",\"token\":\"t{number}\",\"userId\":\"u{number}\",\"interests\":[\"a\"]}}\n"))
        .collect();
    let words = ["import", "devices", "--instance", &id, "-"];
    place.ok_with(&words, &input);
    assert_eq!(export(&place, &id).len(), 9000);
    let payload = place.file("payload.json", r#"{"fcm":{"notification":{"title":"x"}}}"#);
    place.ok(&[
        "publish",
        "--instance",
        &id,
        "--server",
        &url,
        "--user",
        "u8999",
        "--payload",
        &payload,
    ]);
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn long_ways_are_told_where_no_terminal_is() {
    let place = Place::new();
    let (id, _) = place.instance();
    // Lines that are left empty are cheap, and count.
    let mut input = "\n".repeat(100_000);
    input += "{\"platform\":\"fcm\",\"token\":\"t\"}\n";
    let output = place.run_with(&["import", "devices", "--instance", &id, "-"], &input);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "100001 lines\n");
}

#[test]
fn what_cannot_be_done_is_one_line() {
    let place = Place::new();
    let line = place.fails(
        1,
        &[
            "export",
            "devices",
            "--instance",
            "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11",
        ],
    );
    assert!(line.contains("there is no database"), "{line}");
    let (id, _) = place.instance();
    let nobody = "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11";
    let file = place.file("devices.ndjson", &three_lines());
    for words in [
        &["import", "devices", "--instance", nobody, &file][..],
        &["export", "devices", "--instance", nobody],
    ] {
        assert!(place.fails(1, words).contains("there is no instance"));
    }
    for missing in ["missing.ndjson", "."] {
        let line = place.fails(1, &["import", "devices", "--instance", &id, missing]);
        assert!(line.contains("cannot read"), "{line}");
    }
    let line = place.fails(
        1,
        &["export", "devices", "--instance", &id, "no/such/folder"],
    );
    assert!(line.contains("no/such/folder"), "{line}");
    let folder = place.path("folder");
    std::fs::create_dir(&folder).unwrap();
    place.fails(1, &["export", "devices", "--instance", &id, "folder"]);
    assert!(!place.path("folder.part").exists());
    place.fails(2, &["import", "devices", "--instance", &id]);
    place.fails(
        2,
        &[
            "import",
            "devices",
            "--instance",
            &id,
            &file,
            "--on-error",
            "ask",
        ],
    );
    place.fails(2, &["import", "devices", &file]);
}
