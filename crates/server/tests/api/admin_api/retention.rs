//! What is deleted before its publish is: payloads, whom it named, and what was reported.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{call, full, read};
use crate::support::Server;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn payloads_names_and_the_log_go_on_schedule() {
    let settings = [("retention.payloads_days", "7")];
    let server = Server::start_with(&settings).await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, "ann").await.ok();
    let at = format!("/instances/{}/publishes", instance.id);
    let body = json!({"users": ["ann", "zoe"], "fcm": {"data": {"k": "a value to find"}}});
    let id = call(&server, &root, Method::POST, &at, &body)
        .await
        .ok()
        .json()["publishId"]
        .clone();
    let path = format!("{at}/{}", id.as_str().unwrap());
    let until = async |server: &Server, holds: &dyn Fn(&Value) -> bool| {
        loop {
            let shown = read(server, &root, &path).await.ok().json();
            if holds(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let shown = until(&server, &|shown| shown["state"] == "finished").await;
    assert_eq!(shown["users"].as_array().unwrap().len(), 2);
    server.clock.advance(8 * DAY);
    // What is old is looked for at the start, and every ten minutes.
    let server = server.restart_with(&settings).await;
    let replay = format!("{path}/replay");
    loop {
        let reply = call(&server, &root, Method::POST, &replay, &Value::Null).await;
        if reply.status == 409 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let shown = read(&server, &root, &path).await.ok().json();
    assert_eq!(
        shown["users"].as_array().unwrap().len(),
        2,
        "names stay longer"
    );
    assert_eq!(shown["failures"][0]["examples"][0]["user"], "ann");
    server.clock.advance(23 * DAY);
    let server = server.restart_with(&settings).await;
    loop {
        let reply = read(&server, &root, &path).await;
        if reply.status == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = read(&server, &root, "/audit-log").await.ok().json();
    assert_ne!(log["entries"], json!([]), "the log stays for a year");
    server.clock.advance(400 * DAY);
    let server = server.restart_with(&settings).await;
    loop {
        let log = read(&server, &root, "/audit-log").await.ok().json();
        if log["entries"] == json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn names_may_go_first() {
    let server = Server::start_with(&[("retention.users_days", "1")]).await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, "ann").await.ok();
    let at = format!("/instances/{}/publishes", instance.id);
    let body = json!({"users": ["ann"], "fcm": {"data": {}}});
    let id = call(&server, &root, Method::POST, &at, &body)
        .await
        .ok()
        .json()["publishId"]
        .clone();
    let path = format!("{at}/{}", id.as_str().unwrap());
    loop {
        let shown = read(&server, &root, &path).await.ok().json();
        if shown["state"] == "finished" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.clock.advance(2 * DAY);
    let server = server.restart_with(&[("retention.users_days", "1")]).await;
    loop {
        let shown = read(&server, &root, &path).await.ok().json();
        let failed_for = &shown["failures"][0]["examples"][0];
        if shown["users"] == json!([]) && failed_for["user"].is_null() {
            assert_eq!(shown["audience"]["size"], 1, "how many stays known");
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn reports_go_on_schedule_and_how_many_there_were_stays() {
    let settings = [
        ("retention.events_days", "7"),
        ("retention.hours_days", "1"),
    ];
    let server = Server::start_with(&settings).await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let (first, second) = (
        server.fcm_device(&instance, "one").await,
        server.fcm_device(&instance, "two").await,
    );
    let at = format!("/instances/{}/publishes", instance.id);
    let body = json!({"interests": ["nobody"], "fcm": {"data": {}}});
    let id = call(&server, &root, Method::POST, &at, &body)
        .await
        .ok()
        .json()["publishId"]
        .clone();
    let report = async |server: &Server, device: &str| {
        let path = format!("/reporting_api/v2/instances/{}/events", instance.id);
        let event =
            json!({"event": "Open", "publishId": id, "deviceId": device, "timestampSecs": 1});
        server.post(&path, &event.to_string()).await.ok();
    };
    report(&server, &first).await;
    let counted = async |server: &Server| {
        let path = format!("{at}/{}", id.as_str().unwrap());
        let shown = read(server, &root, &path).await.ok().json();
        let path = format!("/instances/{}/insights", instance.id);
        let told = read(server, &root, &path).await.ok().json();
        (shown["opened"].clone(), told["events"][0]["opened"].clone())
    };
    assert_eq!(counted(&server).await, (json!(1), json!(1)));
    server.clock.advance(8 * DAY);
    // What is old is looked for at the start, and every ten minutes.
    let server = server.restart_with(&settings).await;
    let publish = domain::publish::PublishId::parse(id.as_str().unwrap()).unwrap();
    let store = server.app.store();
    loop {
        let (kind, start) = (
            store::publishes::EventKind::Open,
            domain::device::DeviceOrdinal(0),
        );
        let events = store.publish_events(instance.id, publish, kind, start, 10);
        let (day, now) = (DAY, server.app.admin().now());
        let hours = store.event_hours(instance.id, now.before(20 * day), now);
        if events.await.unwrap().unwrap().is_empty() && hours.await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Neither a repetition nor a late report counts, and how many there were is told as before.
    report(&server, &first).await;
    report(&server, &second).await;
    assert_eq!(counted(&server).await, (json!(1), json!(1)));
}
