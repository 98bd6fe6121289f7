//! `…/devices`

use http::Method;
use serde_json::{Value, json};

use super::credentials::{bodies, with_emulators};
use super::{call, full, read};
use crate::support::{Server, device_path};

#[tokio::test]
async fn devices_are_found_by_user_and_by_interest() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let mut devices = Vec::new();
    for number in 0..5 {
        let id = server
            .fcm_device(&instance, &format!("secret-token-{number}"))
            .await;
        let interest = if number % 2 == 0 { "even" } else { "odd" };
        let path = format!("{}/interests/{interest}", device_path(&instance, &id));
        server.post(&path, "").await.ok();
        devices.push(id);
    }
    server.bind(&instance, &devices[3], "alice / å").await.ok();
    let at = format!("/instances/{}/devices", instance.id);
    let ids = async |query: &str| {
        let mut found: Vec<String> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = read(&server, &root, &format!("{at}?limit=2{query}{cursor}"))
                .await
                .ok();
            assert!(!page.body.contains("secret-token"));
            let page = page.json();
            let ids = page["devices"].as_array().unwrap().iter();
            found.extend(ids.map(|one| one["id"].as_str().unwrap().to_owned()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    assert_eq!(ids("").await, devices);
    let even = [0, 2, 4].map(|at: usize| devices[at].clone());
    assert_eq!(ids("&interest=even").await, even);
    assert_eq!(
        ids("&user=alice%20%2F%20%C3%A5").await,
        [devices[3].clone()]
    );
    assert!(ids("&user=bob").await.is_empty());
    let page = read(&server, &root, &format!("{at}?user=alice%20/%20å"))
        .await
        .ok()
        .json();
    let device = &page["devices"][0];
    assert_eq!(
        (&device["user"], &device["platform"]),
        (&json!("alice / å"), &json!("fcm"))
    );
    assert_eq!(device["boundAt"], crate::support::NOW.to_string());
    for bad in [
        "limit=0",
        "limit=501",
        "cursor=x",
        "interest=a%20b",
        "user=a&interest=b",
    ] {
        read(&server, &root, &format!("{at}?{bad}"))
            .await
            .refused(400);
    }
}

#[tokio::test]
async fn one_is_shown_and_deleted() {
    let server = Server::start().await;
    let root = full(&server).await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let id = server.fcm_device(&instance, "t").await;
    server
        .post(
            &format!("{}/interests/news", device_path(&instance, &id)),
            "",
        )
        .await
        .ok();
    let path = format!("/instances/{}/devices/{id}", instance.id);
    let shown = read(&server, &root, &path).await.ok().json();
    assert_eq!(
        (&shown["id"], &shown["interests"]),
        (&json!(id), &json!(["news"]))
    );
    assert_eq!(shown["user"], Value::Null);
    let elsewhere = format!("/instances/{}/devices/{id}", other.id);
    read(&server, &root, &elsewhere).await.refused(404);
    call(&server, &root, Method::DELETE, &elsewhere, &Value::Null)
        .await
        .refused(404);
    call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .ok();
    read(&server, &root, &path).await.refused(404);
    server.get(&device_path(&instance, &id)).await.refused(404);
    read(
        &server,
        &root,
        &format!("/instances/{}/devices/x", instance.id),
    )
    .await
    .refused(404);
}

#[tokio::test]
async fn a_test_notification_tells_what_the_gateway_answered() {
    let (server, emulators, folder) = with_emulators().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let id = server
        .fcm_device(&instance, "a-token-that-emulators-take")
        .await;
    let path = format!("/instances/{}/devices/{id}/test", instance.id);
    let (_, why) = call(&server, &root, Method::POST, &path, &json!({}))
        .await
        .refused(409);
    assert!(why.contains("credential"), "{why}");
    let (_, fcm) = bodies(&folder);
    let credential = format!("/instances/{}/credentials/fcm", instance.id);
    call(&server, &root, Method::PUT, &credential, &fcm)
        .await
        .ok();
    let tested = loop {
        let reply = call(&server, &root, Method::POST, &path, &json!({})).await;
        if reply.status != 409 {
            break reply.ok().json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(
        tested,
        json!({"device": id, "outcome": "accepted", "reason": null})
    );
    let own = json!({"payload": {"fcm": {"data": {"k": "v"}}}});
    call(&server, &root, Method::POST, &path, &own).await.ok();
    let none = json!({"payload": {"web": {"notification": {"title": "t"}}}});
    call(&server, &root, Method::POST, &path, &none)
        .await
        .refused(409);
    for bad in [
        json!({"payload": {}}),
        json!({"payload": {"fcm": 7}}),
        json!({"payload": "x"}),
    ] {
        call(&server, &root, Method::POST, &path, &bad)
            .await
            .refused(400);
    }
    emulators.stop().await;
}

#[tokio::test]
async fn one_is_taken_from_its_user_and_stays() {
    let server = Server::start().await;
    let root = full(&server).await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let id = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &id, "alice").await.ok();
    server.bind(&instance, &id, "bob").await.refused(400);
    let path = format!("/instances/{}/devices/{id}", instance.id);
    let elsewhere = format!("/instances/{}/devices/{id}/user", other.id);
    let unbind = async |path: &str| call(&server, &root, Method::DELETE, path, &Value::Null).await;
    unbind(&elsewhere).await.refused(404);
    let user = format!("{path}/user");
    for expected in [json!("alice"), Value::Null] {
        let answer = unbind(&user).await.ok().json();
        assert_eq!(answer, json!({"id": id, "unboundFrom": expected}));
    }
    let shown = read(&server, &root, &path).await.ok().json();
    assert_eq!((&shown["id"], &shown["user"]), (&json!(id), &Value::Null));
    // The phone may belong to anybody now.
    server.bind(&instance, &id, "bob").await.ok();
    let log = format!("/instances/{}/audit-log", instance.id);
    let log = read(&server, &root, &log).await.ok().json();
    let entry = &log["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["subject"]),
        (&json!("device.unbind"), &json!(id))
    );
}
