//! `…/insights`

use std::time::Duration;

use domain::device::DeviceId;
use domain::publish::PublishId;
use http::Method;
use serde_json::{Value, json};
use store::publishes::{Event, EventKind, Recorded};

use super::{full, read};
use crate::support::{Instance, JSON, NOW, Server};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn insights(server: &Server, instance: &Instance, query: &str) -> Value {
    let token = full(server).await;
    let path = format!("/instances/{}/insights{query}", instance.id);
    read(server, &token, &path).await.ok().json()
}

#[tokio::test]
async fn devices_are_counted_now_and_by_the_day_on_which_they_were_active() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let first = server.fcm_device(&instance, "one").await;
    server.fcm_device(&instance, "two").await;
    server.clock.advance(2 * DAY);
    // The first registers again, which is the same device.
    assert_eq!(server.fcm_device(&instance, "one").await, first);
    let told = insights(&server, &instance, "").await;
    let devices = &told["devices"];
    assert_eq!(devices["countedAt"], "2026-01-03T00:00:00Z");
    let expected = json!([
        {"platform": "apns", "devices": 0, "active30Days": 0},
        {"platform": "fcm", "devices": 2, "active30Days": 2},
        {"platform": "web", "devices": 0, "active30Days": 0},
    ]);
    assert_eq!(devices["now"], expected);
    let expected = json!([
        {"day": "2026-01-01", "platform": "fcm", "devices": 2},
        {"day": "2026-01-03", "platform": "fcm", "devices": 1},
    ]);
    assert_eq!(devices["activeByDay"], expected);

    server.clock.advance(28 * DAY);
    let told = insights(&server, &instance, "").await;
    assert_eq!(told["devices"]["now"][1]["active30Days"], 1);
    assert_eq!(told["devices"]["now"][1]["devices"], 2);
}

#[tokio::test]
async fn rates_are_of_the_publishes_of_a_day_whenever_devices_report() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = DeviceId::parse(&server.fcm_device(&instance, "one").await).unwrap();
    let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
    let body = r#"{"interests":["nobody"],"fcm":{"notification":{"title":"x"}}}"#;
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    let reply = server.send(Method::POST, &path, &headers, body).await;
    let reply = reply.ok().json();
    let publish = PublishId::parse(reply["publishId"].as_str().unwrap()).unwrap();
    server.clock.advance(DAY);
    for (kind, expected) in [
        (EventKind::Delivery, Recorded::New),
        (EventKind::Open, Recorded::New),
        (EventKind::Open, Recorded::Repeated),
    ] {
        let event = Event {
            instance: instance.id,
            publish,
            device,
            kind,
            at: NOW,
            received: NOW.after(DAY),
            user: None,
        };
        let recorded = server.app.store().record_events(vec![event]).await;
        assert_eq!(recorded.unwrap(), [expected]);
    }
    let told = insights(&server, &instance, "?by=day").await;
    let expected = json!([{
        "begins": "2026-01-01T00:00:00Z", "publishes": 1, "accepted": 0, "delivered": 1, "opened": 1,
        "acknowledgementRate": null, "openRate": 1.0,
    }]);
    assert_eq!(told["rates"], expected);
    assert_eq!(told["ratesAreCut"], false);
    let expected = json!([
        {"begins": "2026-01-02T00:00:00Z", "platform": "fcm", "delivered": 1, "opened": 1},
    ]);
    assert_eq!(told["events"], expected);

    // Added up by day, they are told the same.
    let before = NOW.after(3 * DAY);
    assert_eq!(
        server.app.store().roll_up_events(before, 10).await.unwrap(),
        2
    );
    let again = insights(&server, &instance, "?by=day").await;
    assert_eq!(again["events"], expected);
    let by_hour = insights(&server, &instance, "?by=hour").await;
    assert_eq!(by_hour["events"], json!([]));

    let one = format!("/instances/{}/publishes/{publish}", instance.id);
    let token = full(&server).await;
    let one = read(&server, &token, &one).await.ok().json();
    assert_eq!(one["openRate"], 1.0);
    assert_eq!(one["acknowledgementRate"], Value::Null);
}
