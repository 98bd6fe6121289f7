//! What one caller may ask for: rates, depths, lengths; and that a refusal costs nobody else anything.

use std::time::Duration;

use http::Method;

use crate::support::{JSON, NOW, Server, device_path, devices};

const PUBLISH: &str = r#"{"interests":["a"],"apns":{"aps":{"alert":"x"}}}"#;

#[tokio::test]
async fn an_instance_publishes_so_often_and_then_is_told_when_to_come_again() {
    let server = Server::start_with(&[("limits.publishes_per_second_max", "5")]).await;
    let (busy, other) = (server.instance().await, server.instance().await);
    let publish = async |instance: &crate::support::Instance, path: &str| {
        let path = format!("/publish_api/v1/instances/{}/{path}", instance.id);
        let headers = [("Authorization", &*instance.authorization()), JSON];
        server.send(Method::POST, &path, &headers, PUBLISH).await
    };
    for path in [
        "publishes",
        "publishes/interests",
        "publishes",
        "publishes",
        "publishes",
    ] {
        assert_eq!(publish(&busy, path).await.status, 200);
    }
    let refused = publish(&busy, "publishes/interests").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let body = refused.json();
    assert_eq!(body["error"], "Too many requests");
    assert!(body["description"].as_str().unwrap().contains("try again"));
    assert_eq!(publish(&other, "publishes").await.status, 200);
    // Who has no key takes nothing from who has.
    let path = format!("/publish_api/v1/instances/{}/publishes", other.id);
    for _ in 0..10 {
        let headers = [("Authorization", "Bearer WRONG"), JSON];
        assert_eq!(
            server
                .send(Method::POST, &path, &headers, PUBLISH)
                .await
                .status,
            401
        );
    }
    for _ in 0..4 {
        assert_eq!(publish(&other, "publishes").await.status, 200);
    }
    server.clock.set(NOW.after(Duration::from_millis(200)));
    assert_eq!(publish(&busy, "publishes").await.status, 200);
    assert_eq!(publish(&busy, "publishes").await.status, 429);
}

#[tokio::test]
async fn what_is_sent_again_counts_like_what_is_sent() {
    let server = Server::start_with(&[("limits.publishes_per_second_max", "1")]).await;
    let instance = server.instance().await;
    let authorization = instance.authorization();
    let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
    let headers = [("Authorization", &*authorization), JSON];
    let first = server.send(Method::POST, &path, &headers, PUBLISH).await;
    let id = first.ok().json()["publishId"].as_str().unwrap().to_owned();
    let replay = format!("{path}/{id}/replay");
    let refused = server.send(Method::POST, &replay, &headers, "").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn deleting_users_has_the_same_rate_of_its_own() {
    let server = Server::start_with(&[("limits.publishes_per_second_max", "2")]).await;
    let instance = server.instance().await;
    let delete = async || {
        let path = format!("/customer_api/v1/instances/{}/users/u", instance.id);
        let headers = [("Authorization", &*instance.authorization())];
        server
            .send(Method::DELETE, &path, &headers, "")
            .await
            .status
    };
    assert_eq!(
        [delete().await, delete().await, delete().await],
        [200, 200, 429]
    );
}

#[tokio::test]
async fn an_instance_registers_so_many_devices_in_a_minute() {
    let rate = "limits.registrations_per_instance_per_minute_max";
    let server = Server::start_with(&[(rate, "3")]).await;
    let (busy, other) = (server.instance().await, server.instance().await);
    let register = async |instance: &crate::support::Instance, token: &str| {
        let body = format!(r#"{{"token":"{token}"}}"#);
        server
            .post(&format!("{}/fcm", devices(instance)), &body)
            .await
    };
    for token in ["a", "b", "c"] {
        assert_eq!(register(&busy, token).await.status, 200);
    }
    let refused = register(&busy, "d").await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, Some("20"))
    );
    assert_eq!(register(&other, "a").await.status, 200);
    // What a device does that is there already is not counted.
    let device = server.fcm_device(&other, "x").await;
    let path = format!("{}/interests/hello", device_path(&other, &device));
    for _ in 0..10 {
        server.post(&path, "").await.ok();
    }
    server.clock.set(NOW.after(Duration::from_secs(20)));
    assert_eq!(register(&busy, "d").await.status, 200);
}

#[tokio::test]
async fn an_address_registers_so_many_devices_in_a_minute() {
    let server = Server::start_with(&[
        ("limits.registrations_per_address_per_minute_max", "3"),
        ("proxies.trusted", "127.0.0.0/8"),
    ])
    .await;
    let (one, two) = (server.instance().await, server.instance().await);
    let register = async |instance: &crate::support::Instance, from: &str, token: &str| {
        let path = format!("{}/fcm", devices(instance));
        let body = format!(r#"{{"token":"{token}"}}"#);
        let headers = [("X-Forwarded-For", from), JSON];
        server.send(Method::POST, &path, &headers, body).await
    };
    // The address counts, whatever the instance.
    for (instance, token) in [(&one, "a"), (&two, "b"), (&one, "c")] {
        let taken = register(instance, "192.0.2.1", token).await;
        assert_eq!(taken.status, 200);
    }
    let refused = register(&two, "192.0.2.1", "d").await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, Some("20"))
    );
    assert_eq!(register(&two, "192.0.2.2", "d").await.status, 200);
    // Of IPv6 the network of one customer.
    for (from, status) in [
        ("2001:db8::1", 200),
        ("2001:db8::2:1", 200),
        ("2001:db8::3:0:0:1", 200),
        ("2001:db8::4", 429),
        ("2001:db8:0:1::1", 200),
    ] {
        assert_eq!(register(&one, from, "e").await.status, status, "{from}");
    }
    server.clock.set(NOW.after(Duration::from_secs(20)));
    assert_eq!(register(&two, "192.0.2.1", "d").await.status, 200);
}

#[tokio::test]
async fn a_full_instance_refuses_new_devices_and_no_others() {
    let server = Server::start_with(&[("limits.devices_per_instance", "2")]).await;
    let (full, other) = (server.instance().await, server.instance().await);
    let register = async |instance: &crate::support::Instance, token: &str| {
        let body = format!(r#"{{"token":"{token}"}}"#);
        server
            .post(&format!("{}/fcm", devices(instance)), &body)
            .await
    };
    let first = register(&full, "a").await.json()["id"].clone();
    assert_eq!(register(&full, "b").await.status, 200);
    let refused = register(&full, "c").await;
    assert_eq!(refused.status, 402);
    assert_eq!(
        refused.json(),
        serde_json::json!({"error": "Too many devices", "description": "Device could not be created"})
    );
    assert_eq!(register(&other, "c").await.status, 200);
    // A device that is there goes on as ever.
    let again = register(&full, "a").await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (200, &first));
    let path = device_path(&full, first.as_str().unwrap());
    server
        .post(&format!("{path}/interests/hello"), "")
        .await
        .ok();
    for _ in 0..2 {
        let deleted = server.send(Method::DELETE, &path, &[], "").await;
        assert_eq!(deleted.status, 200);
    }
    assert_eq!(register(&full, "c").await.status, 200);
    assert_eq!(register(&full, "a").await.status, 402);
}

#[tokio::test]
async fn registrations_at_an_instance_that_is_not_there_cost_nothing() {
    let rate = "limits.registrations_per_instance_per_minute_max";
    let server = Server::start_with(&[(rate, "1")]).await;
    let path = "/device_api/v1/instances/8f9a6e22-2483-49aa-8552-125f1a4c5781/devices/fcm";
    for _ in 0..5 {
        assert_eq!(server.post(path, r#"{"token":"t"}"#).await.status, 404);
    }
}

#[tokio::test]
async fn no_body_is_longer_than_the_operator_says() {
    let server = Server::start_with(&[("limits.body_bytes_max", "2048")]).await;
    let instance = server.instance().await;
    let publish = async |length: usize| {
        let body = format!(
            r#"{{"users":["a"],"web":{{"data":{{"text":"{}"}}}}}}"#,
            "x".repeat(length)
        );
        let path = format!("/publish_api/v1/instances/{}/publishes/users", instance.id);
        let headers = [("Authorization", &*instance.authorization()), JSON];
        server.send(Method::POST, &path, &headers, body).await
    };
    assert_eq!(publish(1900).await.status, 200);
    let (_, why) = publish(2048).await.refused(400);
    assert!(why.contains("2048"), "{why}");
}

#[tokio::test]
async fn what_is_nested_too_deep_is_refused_before_it_is_read() {
    let server = Server::start_with(&[("limits.json_depth_max", "8")]).await;
    let instance = server.instance().await;
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let publish = async |depth: usize| {
        let body = format!(
            r#"{{"interests":["a"],"web":{{"data":{}}}}}"#,
            nested(depth)
        );
        let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
        let headers = [("Authorization", &*instance.authorization()), JSON];
        server.send(Method::POST, &path, &headers, body).await
    };
    assert_eq!(publish(6).await.status, 200);
    let refused = publish(7).await;
    assert_eq!(refused.status, 400);
    let why = refused.json()["description"].as_str().unwrap().to_owned();
    assert!(
        why.contains("nested too deep") && why.contains('8'),
        "{why}"
    );
    assert_eq!(publish(1500).await.status, 400);
    let in_lines = async |depth: usize| {
        let body = format!(
            "{}\n{{\"user\":\"a\",\"values\":{}}}\n",
            r#"{"fcm":{"data":{}}}"#,
            nested(depth)
        );
        let path = format!("/publish_api/v1/instances/{}/publishes/users", instance.id);
        let lines = ("Content-Type", "application/x-ndjson");
        let headers = [("Authorization", &*instance.authorization()), lines];
        server.send(Method::POST, &path, &headers, body).await
    };
    let (_, why) = in_lines(8).await.refused(400);
    assert!(why.contains("nested too deep"), "{why}");
    let register = async |depth: usize| {
        let body = format!(r#"{{"token":"t","metadata":{}}}"#, nested(depth));
        server
            .post(&format!("{}/fcm", devices(&instance)), &body)
            .await
            .status
    };
    assert_eq!(
        [register(7).await, register(8).await, register(4000).await],
        [200, 400, 400]
    );
}

#[tokio::test]
async fn a_url_that_is_too_long_is_refused() {
    let server = Server::start_with(&[("limits.url_bytes_max", "2048")]).await;
    let path = |length: usize| format!("/healthz?{}", "x".repeat(length - "/healthz?".len()));
    assert_eq!(server.get(&path(2048)).await.status, 200);
    let refused = server.get(&path(2049)).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.json()["description"]
            .as_str()
            .unwrap()
            .contains("2048")
    );
}
