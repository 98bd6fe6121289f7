//! `…/users/{user}/forget` and `…/export`

use domain::admin_token::Right;
use domain::user::UserId;
use futures_util::poll;
use http::Method;
use serde_json::{Value, json};
use server::admin::actor::Actor;
use server::admin::users;

use super::{call, for_one, full, read, token_with};
use crate::support::{Instance, Server, beams_token, device_path};

const USER: &str = "very.unusual.name@example.com";

/// A user with devices, publishes, reports and an open schedule.
async fn live(server: &Server, root: &str, instance: &Instance) -> Vec<String> {
    let mut devices = Vec::new();
    for number in 0..3 {
        let id = server.fcm_device(instance, &format!("t{number}")).await;
        server.bind(instance, &id, USER).await.ok();
        server
            .post(
                &format!("{}/interests/news", device_path(instance, &id)),
                "",
            )
            .await
            .ok();
        devices.push(id);
    }
    let at = format!("/instances/{}/publishes", instance.id);
    for body in [
        json!({"users": [USER, "bob"], "fcm": {"data": {}}}),
        json!({"interests": ["news"], "fcm": {"data": {}}}),
        json!({"users": ["bob", USER], "fcm": {"data": {}}, "sendAt": "2026-01-02T00:00:00Z"}),
    ] {
        call(server, root, Method::POST, &at, &body).await.ok();
    }
    // There is no credential, so every delivery fails.
    loop {
        let listed = read(server, root, &format!("{at}?status=finished"))
            .await
            .ok()
            .json();
        if listed["publishes"].as_array().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    devices
}

#[tokio::test]
async fn a_forgotten_user_is_in_no_file_any_more() {
    let server = Server::start().await;
    let root = full(&server).await;
    let (instance, other) = (server.instance().await, server.instance().await);
    live(&server, &root, &instance).await;
    let at = format!("/instances/{}/users/{USER}", instance.id);
    // Which is written down, with the name.
    call(
        &server,
        &root,
        Method::GET,
        &format!("{at}/export"),
        &Value::Null,
    )
    .await
    .ok();
    assert!(!server.files_with(USER).is_empty());

    let elsewhere = format!("/instances/{}/users/{USER}/forget", other.id);
    let nothing = call(&server, &root, Method::POST, &elsewhere, &json!({}))
        .await
        .ok()
        .json();
    assert_eq!(nothing["removed"]["devices"], 0);
    read(&server, &root, &at).await.ok();

    let body = json!({"scrub": true});
    let told = call(&server, &root, Method::POST, &format!("{at}/forget"), &body)
        .await
        .ok();
    assert!(!told.body.contains(USER));
    let told = told.json();
    let removed = &told["removed"];
    assert_eq!(
        (&removed["devices"], &removed["names"]),
        (&json!(3), &json!(2)),
        "{told}"
    );
    assert_eq!(
        (&removed["failures"], &removed["auditEntries"]),
        (&json!(6), &json!(1)),
        "{told}"
    );
    let none = told["remaining"].as_object().unwrap();
    assert!(
        none.len() >= 7 && none.values().all(|count| *count == 0),
        "{told}"
    );
    assert_eq!(told["scrubbed"], true);
    assert_eq!(server.files_with(USER), Vec::<String>::new());
    read(&server, &root, &at).await.refused(404);

    let log = read(&server, &root, "/audit-log?limit=500").await.ok();
    assert!(!log.body.contains(USER), "the log has a pseudonym");
    assert_eq!(log.body.matches("\"user.forget\"").count(), 2);
    assert_eq!(log.body.matches("forgotten-").count(), 3);
}

#[tokio::test]
async fn a_forgotten_user_may_come_back() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    live(&server, &root, &instance).await;
    let at = format!("/instances/{}/users/{USER}", instance.id);
    let forget = format!("{at}/forget");
    let told = call(&server, &root, Method::POST, &forget, &json!({}))
        .await
        .ok()
        .json();
    assert_eq!(told["scrubbed"], false);
    let _ = beams_token(&instance, USER);
    let id = server.fcm_device(&instance, "t0").await;
    server.bind(&instance, &id, USER).await.ok();
    let shown = read(&server, &root, &at).await.ok().json();
    assert_eq!(shown["devices"].as_array().unwrap().len(), 1);
    for bad in [json!({"scrub": "yes"}), json!([])] {
        call(&server, &root, Method::POST, &forget, &bad)
            .await
            .refused(400);
    }
}

#[tokio::test]
async fn an_export_has_everything_of_one_user() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let devices = live(&server, &root, &instance).await;
    let bob = server.fcm_device(&instance, "bobs").await;
    server.bind(&instance, &bob, "bob").await.ok();
    let path = format!("/instances/{}/users/{USER}/export", instance.id);
    let export = read(&server, &root, &path).await.ok();
    assert!(!export.body.contains(&bob) && !export.body.contains("\"bob\""));
    let export = export.json();
    assert_eq!(export["user"], USER);
    let of = |device: &Value| device["id"].as_str().unwrap().to_owned();
    let exported: Vec<String> = export["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect();
    assert_eq!(exported, devices);
    assert_eq!(export["devices"][0]["interests"], json!(["news"]));
    let publishes = export["publishes"].as_array().unwrap();
    let named: Vec<_> = publishes
        .iter()
        .map(|one| one["named"].as_bool().unwrap())
        .collect();
    assert_eq!(
        named,
        [true, false, true],
        "scheduled, to an interest, by name"
    );
    assert_eq!(publishes[2]["failed"], 3);
    assert_eq!(publishes[2]["failures"].as_array().unwrap().len(), 3);
    assert_eq!(export["nextCursor"], Value::Null);
    let second = read(&server, &root, &path).await.ok().json();
    assert!(
        second["audit"].as_array().unwrap().len() >= 2,
        "being exported is written down"
    );
}

#[tokio::test]
async fn the_whole_database_is_scrubbed_for_one_at_a_time_who_may_do_everything() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, USER).await.ok();
    let at = format!("/instances/{}/users/{USER}", instance.id);
    let forget = format!("{at}/forget");
    let body = json!({"scrub": true});
    let confined = token_with(&server, for_one(instance.id, Right::Write)).await;
    let refused = call(&server, &confined, Method::POST, &forget, &body).await;
    let (_, why) = refused.refused(403);
    assert!(why.contains("for all instances that may write"), "{why}");

    let begin = || {
        let user = UserId::parse(USER).unwrap();
        users::forget(
            server.app.admin(),
            &Actor::CommandLine,
            instance.id,
            user,
            true,
        )
    };
    let mut first = Box::pin(begin());
    assert!(poll!(&mut first).is_pending());
    let (_, why) = call(&server, &root, Method::POST, &forget, &body)
        .await
        .refused(409);
    assert!(why.contains("scrubbed already"), "{why}");
    first.await.unwrap();
    read(&server, &root, &at).await.refused(404);
    // Whoever waited may now, and who wants no scrubbing never had to.
    for (token, body) in [(&root, body), (&confined, json!({}))] {
        call(&server, token, Method::POST, &forget, &body)
            .await
            .ok();
    }
}
