//! `/reporting_api/v2/instances/{instance}/events`, and v1

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::publish::PublishId;
use http::Method;
use serde_json::{Value, json};
use store::insights::EventHour;
use store::publishes::EventKind;

use crate::support::{Instance, JSON, NOW, Server};

fn path(instance: &Instance, version: &str) -> String {
    format!("/reporting_api/{version}/instances/{}/events", instance.id)
}

async fn publish(server: &Server, instance: &Instance) -> String {
    let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
    let authorization = instance.authorization();
    let body = r#"{"interests":["hello"],"web":{"notification":{"title":"x"}}}"#;
    let reply = server
        .send(
            Method::POST,
            &path,
            &[JSON, ("Authorization", &authorization)],
            body,
        )
        .await;
    reply.ok().json()["publishId"].as_str().unwrap().to_owned()
}

fn event(kind: &str, publish: &str, device: &str) -> Value {
    json!({"event": kind, "publishId": publish, "deviceId": device, "timestampSecs": NOW.as_secs()})
}

#[tokio::test]
async fn what_is_no_event_is_400_and_nothing_is_ever_404() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let good = event("Open", "pubid-x", "web-x");
    let with = |name: &str, value: Value| {
        let mut event = good.clone();
        event[name] = value;
        event.to_string()
    };
    for body in [
        String::new(),
        "[]".into(),
        "{}".into(),
        with("event", json!("click")),
        with("event", json!(null)),
        with("publishId", json!(null)),
        with("publishId", json!(7)),
        with("deviceId", json!(null)),
        with("deviceId", json!("")),
        with("timestampSecs", json!(null)),
        with("timestampSecs", json!("now")),
        with("timestampSecs", json!(-1)),
        with("timestampSecs", json!(1e300)),
        with("userId", json!("u".repeat(10_000))),
    ] {
        for version in ["v1", "v2"] {
            server
                .post(&path(&instance, version), &body)
                .await
                .refused(400);
        }
    }
    let not_json = server
        .send(Method::POST, &path(&instance, "v2"), &[], good.to_string())
        .await;
    not_json.refused(400);
    server
        .post(
            "/reporting_api/v2/instances/nonsense/events",
            &good.to_string(),
        )
        .await
        .refused(400);
}

#[tokio::test]
async fn reports_on_what_nobody_knows_are_taken_and_forgotten() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let unknown = "pubid-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    for (publish, device) in [
        (unknown, id.as_str()),
        ("pubid-x", &id),
        (unknown, "something"),
    ] {
        let body = event("Delivery", publish, device).to_string();
        server
            .post(&path(&instance, "v2"), &body)
            .await
            .ok_and_empty();
    }
    let elsewhere = "/reporting_api/v2/instances/9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac/events";
    server
        .post(elsewhere, &event("Delivery", unknown, &id).to_string())
        .await
        .ok_and_empty();
}

#[tokio::test]
async fn each_device_counts_once_per_kind_however_it_is_written() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let publish = publish(&server, &instance).await;
    let (one, two) = (
        server.fcm_device(&instance, "one").await,
        server.fcm_device(&instance, "two").await,
    );
    for (kind, device) in [
        ("Delivery", &one),
        ("delivery", &one),
        ("DELIVERY", &two),
        ("open", &one),
        ("Open", &one),
    ] {
        let mut body = event(kind, &publish, device);
        body["instanceId"] = json!(instance.id.to_string());
        body["userId"] = json!(null);
        body["appInBackground"] = json!(true);
        body["somethingNew"] = json!({"a": [1]});
        server
            .post(&path(&instance, "v2"), &body.to_string())
            .await
            .ok_and_empty();
    }
    let id = PublishId::parse(&publish).unwrap();
    let report = server
        .app
        .store()
        .publish_report(instance.id, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((report.delivered, report.opened), (2, 1));
}

#[tokio::test]
async fn what_was_reported_counts_for_the_hour_it_came_in() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "token").await;
    let publish = publish(&server, &instance).await;
    let mut reported = event("Delivery", &publish, &device);
    // A clock that is a year behind, and a repetition.
    reported["timestampSecs"] = json!(NOW.as_secs() - 365 * 24 * 60 * 60);
    for _ in 0..2 {
        server
            .post(&path(&instance, "v2"), &reported.to_string())
            .await
            .ok();
    }
    let hours = server.app.store().event_hours(
        instance.id,
        Timestamp::from_secs(0),
        NOW.after(store::insights::HOUR),
    );
    let expected = EventHour {
        hour: store::insights::hour_of(NOW),
        platform: Platform::Fcm,
        kind: EventKind::Delivery,
        count: 1,
    };
    assert_eq!(hours.await.unwrap(), [expected]);
}
