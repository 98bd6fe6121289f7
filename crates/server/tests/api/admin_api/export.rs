//! `…/users/{user}/export`, held to the tables of the database: whatever forgetting a user removes was in it, or is named here
//! with a reason.

use std::collections::{BTreeMap, BTreeSet};

use domain::device::DeviceId;
use domain::user::UserId;
use emulator::{Behaviour, Emulators, Gateway};
use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use store::console::{Trace, TraceKind};

use super::credentials::{bodies, with_emulators};
use super::{call, full, read};
use crate::support::{Instance, NOW, Server, device_path};

const USER: &str = "very.unusual.name@example.com";

/// What forgetting a user touches, and where an export has it (a path, `[]` being any of a list), or why not.
const OF_USERS: [(&str, Result<&str, &str>); 16] = [
    ("users", Ok("user")),
    ("devices", Ok("devices[].id")),
    ("subscriptions", Ok("devices[].interests[]")),
    ("interests", Ok("devices[].interests[]")),
    (
        "retries",
        Err("work under way: its end is counted in the publish, within the time to live"),
    ),
    ("payloads", Ok("publishes[].publishId")),
    ("scheduled", Ok("publishes[].publishId")),
    ("listed", Ok("publishes[].values.first")),
    ("user_tallies", Ok("publishes[].accepted")),
    ("failures", Ok("publishes[].failures[].reason")),
    ("events", Ok("publishes[].events[].event")),
    ("webhook_requests", Ok("webhookRequests[].id")),
    (
        "publish_webhooks",
        Err("the body of the request that made a publish, sealed: `publishes` tells of it"),
    ),
    (
        "device_counts",
        Err("how many devices there are, whoever's they are"),
    ),
    ("trail", Ok("console[].kind")),
    ("audit", Ok("audit[].action")),
];

/// The rest, which says nothing of a user.
const OF_NOBODY: [&str; 21] = [
    "admin_tokens",
    "console",
    "credentials",
    "duties",
    "emptied",
    "event_days",
    "event_hours",
    "instances",
    "jobs",
    "lists",
    "moves",
    "nodes",
    "provider_tokens",
    "publishes",
    "request_keys",
    "secret_keys",
    "sqlite_sequence",
    "store",
    "tallies",
    "webhooks",
    "sqlite_stat1",
];

/// The same of a device's columns.
const OF_DEVICES: [(&str, Result<&str, &str>); 16] = [
    ("device", Err("a number that means nothing outside")),
    ("instance", Err("the caller's own")),
    ("id", Ok("devices[].id")),
    ("platform", Ok("devices[].platform")),
    ("identity", Err("the gateway token, a secret")),
    ("keys", Err("the gateway token's keys, secrets")),
    ("bundle_id", Err("the app's, and the same for everybody")),
    (
        "environment",
        Err("which of Apple's gateways knows the gateway token"),
    ),
    ("metadata", Ok("devices[].metadata.sdkVersion")),
    ("user_number", Ok("devices[].user")),
    ("created_at", Ok("devices[].createdAt")),
    ("registered_at", Ok("devices[].registeredAt")),
    ("bound_at", Ok("devices[].boundAt")),
    ("given_again", Err("registeredAt tells of it")),
    ("active_on", Ok("devices[].activeOn[]")),
    ("active_days", Ok("devices[].activeOn[]")),
];

/// Whether something stands at a path.
fn has(value: &Value, path: &str) -> bool {
    let Some((head, rest)) = path
        .split_once('.')
        .or((!path.is_empty()).then_some((path, "")))
    else {
        return !value.is_null() && value != "";
    };
    match head.strip_suffix("[]") {
        Some(name) => value[name]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| has(one, rest))),
        None => has(&value[head], rest),
    }
}

/// The rows of each table, as text.
fn rows(database: &Connection) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
    let of = |name: &String| {
        let mut all = database.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = all.column_count();
        let text = |row: &rusqlite::Row<'_>| {
            let values = (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap()));
            Ok(values.collect::<Vec<_>>().join("|"))
        };
        all.query_map([], text)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    names.iter().map(|name| (name.clone(), of(name))).collect()
}

/// A user of whom there is everything that there can be.
async fn live(server: &Server, emulators: &Emulators, root: &str, instance: &Instance) {
    let hooks = format!("/instances/{}/webhooks", instance.id);
    let hook = json!({"url": "http://127.0.0.1:1/", "events": ["v1.DeviceBound"]});
    call(server, root, Method::POST, &hooks, &hook).await.ok();
    let error = Behaviour::ServerError {
        status: Some(503),
        retry_after_s: None,
    };
    let refuse = Behaviour::Refuse {
        reason: "INVALID_ARGUMENT".into(),
        status: None,
    };
    for (token, behaviour) in [("late", error), ("refused", refuse)] {
        let set = emulators.set_behaviour(Gateway::Fcm, Some(token), behaviour);
        set.unwrap();
    }
    let mut devices = Vec::new();
    for token in ["late", "refused", "good"] {
        let id = server.fcm_device(instance, token).await;
        let at = device_path(instance, &id);
        server.bind(instance, &id, USER).await.ok();
        let metadata = r#"{"sdkVersion":"1.9.0","androidVersion":"14"}"#;
        server.put(&format!("{at}/metadata"), metadata).await.ok();
        server.post(&format!("{at}/interests/rare"), "").await.ok();
        devices.push(id);
    }
    let at = format!("/instances/{}/publishes", instance.id);
    let fcm = json!({"data": {"a": "b"}});
    let mut ids = Vec::new();
    for body in [
        json!({"users": [USER], "fcm": fcm, "webhookUrl": "http://127.0.0.1:1/"}),
        json!({"users": [USER, "bob"], "fcm": fcm, "sendAt": "2026-01-02T00:00:00Z"}),
    ] {
        let made = call(server, root, Method::POST, &at, &body).await.ok();
        ids.push(made.json()["publishId"].as_str().unwrap().to_owned());
    }
    let lines = format!(
        "{}\n{}",
        json!({"fcm": {"notification": {"title": "Hi {{first}}"}}}),
        json!({"user": USER, "values": {"first": "Very"}}),
    );
    let authorization = instance.authorization();
    let headers = [
        ("Content-Type", "application/x-ndjson"),
        ("Authorization", authorization.as_str()),
    ];
    let publish = format!("/publish_api/v1/instances/{}/publishes/users", instance.id);
    server
        .send(Method::POST, &publish, &headers, lines)
        .await
        .ok();
    let report = format!("/reporting_api/v2/instances/{}/events", instance.id);
    let event = json!({
        "event": "Open", "publishId": ids[0], "deviceId": devices[2], "userId": USER, "timestampSecs": NOW.as_secs(),
    });
    server.post(&report, &event.to_string()).await.ok();
    let line = Trace {
        device: DeviceId::parse(&devices[0]),
        user: UserId::parse(USER).ok(),
        ..Trace::new(NOW, TraceKind::Accepted)
    };
    let kept = server.app.store().append_trail(instance.id, vec![line]);
    kept.await.unwrap();
}

/// Waits until there is a row in each of these tables.
async fn until_filled(database: &Connection) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let rows = rows(database);
        let of_users = OF_USERS.iter().map(|(table, _)| table);
        let empty: Vec<_> = of_users.filter(|table| rows[**table].is_empty()).collect();
        if empty.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "empty: {empty:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_export_has_all_that_forgetting_removes() {
    let (server, emulators, folder) = with_emulators().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let credential = format!("/instances/{}/credentials/fcm", instance.id);
    let (_, fcm) = bodies(&folder);
    call(&server, &root, Method::PUT, &credential, &fcm)
        .await
        .ok();
    live(&server, &emulators, &root, &instance).await;
    let user = format!("/instances/{}/users/{USER}", instance.id);
    let database = Connection::open(server.database()).unwrap();
    // Which is in the audit log, as the first trace there.
    read(&server, &root, &format!("{user}/export")).await.ok();
    until_filled(&database).await;

    let before = rows(&database);
    let export = read(&server, &root, &format!("{user}/export")).await.ok();
    let export = export.json();
    assert!(before["users"].iter().any(|row| names_user(row)));
    let forget = format!("{user}/forget");
    let told = call(&server, &root, Method::POST, &forget, &json!({})).await;
    let remaining = told.ok().json()["remaining"].clone();
    let counts = remaining.as_object().unwrap().values();
    assert!(counts.into_iter().all(|count| *count == 0), "{remaining}");
    let after = rows(&database);

    for (table, rows) in &before {
        let is_of_nobody = OF_NOBODY.contains(&table.as_str());
        let of_users = OF_USERS.iter().find(|(name, _)| name == table);
        assert!(
            is_of_nobody != of_users.is_some(),
            "what `{table}` has of users must be in the export, or its place here"
        );
        let is_touched = !rows.is_subset(&after[table]);
        if let Some((_, place)) = of_users {
            assert!(is_touched, "forgetting a user leaves `{table}` as it is");
            if let Ok(path) = place {
                assert!(has(&export, path), "{table}: {path} in {export:#}");
            }
        }
        let named = |rows: &BTreeSet<String>| rows.iter().any(|row| names_user(row));
        assert!(!is_of_nobody || !named(rows), "`{table}` names a user");
        assert!(!named(&after[table]), "`{table}` still names the user");
    }
    let mut columns = database
        .prepare("SELECT name FROM pragma_table_info('devices')")
        .unwrap();
    let columns = columns.query_map([], |row| row.get::<_, String>(0));
    let columns: Vec<String> = columns.unwrap().map(Result::unwrap).collect();
    assert_eq!(columns, OF_DEVICES.map(|(column, _)| column));
    for path in OF_DEVICES.iter().filter_map(|(_, place)| place.ok()) {
        assert!(has(&export, path), "{path} in {export:#}");
    }
}

/// Rows are told as bytes.
fn names_user(row: &str) -> bool {
    let bytes: Vec<String> = USER.bytes().map(|byte| byte.to_string()).collect();
    row.contains(&bytes.join(", "))
}
