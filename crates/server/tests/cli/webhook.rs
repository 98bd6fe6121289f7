//! `heliostat webhook`, on the database itself and through a server: one way and the other the commands do and say the
//! same, and the audit log has it.

use serde_json::{Value, json};

use crate::program::Place;

/// Runs the commands of a webhook's life. What each of them said, without what is random.
fn life(place: &Place, instance: &str) -> Vec<Value> {
    let webhook = |words: &[&str]| {
        let mut all = vec!["webhook", words[0], "--instance", instance];
        all.extend(&words[1..]);
        place.json(&all)
    };
    let added = webhook(&[
        "add",
        "--url",
        "https://hooks.example.com/here",
        "--secret",
        "a secret that is typed",
        "--event",
        "v1.UserNotificationOpen",
        "--custom-data",
        r#"{"app":"shop"}"#,
    ]);
    let id = added["id"].as_str().unwrap().to_owned();
    let mut said = vec![added["secret"].clone(), webhook(&["list"])];
    said.push(webhook(&["disable", &id]));
    said.push(webhook(&["list"]));
    said.push(webhook(&["enable", &id]));
    let new = "https://hooks.example.com/there";
    said.push(webhook(&[
        "edit",
        &id,
        "--url",
        new,
        "--event",
        "v1.DeviceBound",
    ]));
    said.push(webhook(&["replay", &id, "--failed"]));
    said.push(webhook(&["deliveries", &id]));
    said.push(webhook(&["remove", &id]));
    said.push(webhook(&["list"]));
    for one in &mut said {
        hide(one, &id);
    }
    said
}

/// Puts a mark in the place of an id, and of times.
fn hide(value: &mut Value, id: &str) {
    match value {
        Value::String(text) if text == id => *text = "ID".into(),
        Value::Array(all) => all.iter_mut().for_each(|one| hide(one, id)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_time = name.ends_with("At") || name.ends_with("Since");
                if is_time && field.is_string() {
                    *field = "TIME".into();
                }
                hide(field, id);
            }
        }
        _ => {}
    }
}

fn deeds(place: &Place, instance: &str) -> Vec<(Value, Value)> {
    let log = place.json(&["audit-log", "--instance", instance]);
    let entries = log["entries"].as_array().unwrap().iter().rev();
    entries
        .map(|entry| (entry["actor"].clone(), entry["action"].clone()))
        .filter(|(_, action)| action.as_str().unwrap().starts_with("webhook."))
        .collect()
}

#[test]
fn a_life_is_the_same_here_and_from_afar() {
    let here = Place::new();
    let (near, _) = here.instance();
    let (far, _) = here.instance();
    let token = here.json(&["admin-token", "create", "--name", "laptop"]);
    let said = life(&here, &near);
    assert_eq!(said[0], "a secret that is typed");
    assert_eq!(said[1][0]["state"], "enabled");
    assert_eq!(said[1][0]["events"], json!(["v1.UserNotificationOpen"]));
    assert_eq!(said[1][0]["customData"], json!({"app": "shop"}));
    assert_eq!(said[3][0]["state"], "disabled");
    assert_eq!(said[5]["url"], "https://hooks.example.com/there");
    assert_eq!(said[5]["events"], json!(["v1.DeviceBound"]));
    assert_eq!(said[5]["customData"], json!({"app": "shop"}));
    assert_eq!(said[6], json!({"replayed": 0, "more": false}));
    assert_eq!(said[9], json!([]));

    let (_server, url) = here.serve();
    let mut elsewhere = Place::new();
    elsewhere.set("NO_PROXY", "*");
    elsewhere.set("HELIOSTAT_SERVER", &url);
    let line = elsewhere.fails(2, &["webhook", "list", "--instance", &far]);
    assert!(line.contains("HELIOSTAT_ADMIN_TOKEN"), "{line}");
    elsewhere.set("HELIOSTAT_ADMIN_TOKEN", token["token"].as_str().unwrap());
    assert_eq!(life(&elsewhere, &far), said);

    let done = [
        "add",
        "disable",
        "enable",
        "change",
        "replay_failed",
        "remove",
    ];
    for (place, instance, actor) in [(&here, &near, "command_line"), (&elsewhere, &far, "token")] {
        let expected = done.map(|deed| (json!(actor), json!(format!("webhook.{deed}"))));
        assert_eq!(deeds(place, instance), expected);
    }
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let place = Place::new();
    let (instance, _) = place.instance();
    let add = |code, more: &[&str]| {
        let mut words = vec!["webhook", "add", "--instance", &instance];
        words.extend(more);
        place.fails(code, &words)
    };
    let line = add(1, &["--url", "https://127.0.0.1/"]);
    assert!(
        line.contains("url") && line.contains("outbound.allow"),
        "{line}"
    );
    let line = add(
        2,
        &["--url", "https://hooks.example.com/", "--custom-data", "{"],
    );
    assert!(line.contains("--custom-data"), "{line}");
    let line = add(
        1,
        &["--url", "https://hooks.example.com/", "--custom-data", "[]"],
    );
    assert!(line.contains("customData"), "{line}");
    let one = place.json(&[
        "webhook",
        "add",
        "--instance",
        &instance,
        "--url",
        "https://a.example/",
    ]);
    let one = one["id"].as_str().unwrap();
    let line = place.fails(2, &["webhook", "edit", "--instance", &instance, one]);
    assert!(line.contains("--url"), "{line}");
    let line = place.fails(2, &["webhook", "replay", "--instance", &instance, one]);
    assert!(
        line.contains("--failed") || line.contains("DELIVERY"),
        "{line}"
    );
    let stranger = "00000000-0000-4000-8000-000000000000";
    let line = place.fails(1, &["webhook", "remove", "--instance", &instance, stranger]);
    assert!(line.contains("webhook"), "{line}");
    let line = place.fails(1, &["webhook", "list", "--instance", stranger]);
    assert!(line.contains("instance list"), "{line}");
}
