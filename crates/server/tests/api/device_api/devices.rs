//! `…/devices/{platform}` and `…/devices/{platform}/{device}`

use serde_json::json;

use crate::support::{Server, device_path, devices, web_token};
use http::Method;

#[tokio::test]
async fn a_registration_that_makes_no_sense_is_refused_and_says_why() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let base = devices(&instance);
    let long = "a".repeat(4097);
    for (platform, body, because) in [
        ("fcm", "", "not a JSON object"),
        ("fcm", "[]", "not a JSON object"),
        ("fcm", "\"x\"", "not a JSON object"),
        ("fcm", "{", "not a JSON object"),
        ("fcm", "{}", "`token`: token is required"),
        ("fcm", r#"{"token":null}"#, "`token`: token is required"),
        ("fcm", r#"{"token":7}"#, "`token`: must be a string"),
        ("fcm", r#"{"token":""}"#, "`token`: must not be empty"),
        ("fcm", r#"{"token":"a b"}"#, "visible ASCII"),
        ("fcm", &format!(r#"{{"token":"{long}"}}"#), "4096"),
        ("fcm", r#"{"token":"a","metadata":[]}"#, "`metadata`"),
        (
            "apns",
            r#"{"token":"abc","bundleIdentifier":"x"}"#,
            "hexadecimal",
        ),
        (
            "apns",
            r#"{"token":"abcd"}"#,
            "`bundleIdentifier`: bundleIdentifier is required",
        ),
        (
            "apns",
            r#"{"token":"abcd","bundleIdentifier":"a b"}"#,
            "`bundleIdentifier`",
        ),
        ("web", r#"{"token":"abc"}"#, "base64"),
        ("web", r#"{"token":"e30="}"#, "endpoint"),
    ] {
        let reply = server.post(&format!("{base}/{platform}"), body).await;
        let (error, description) = reply.refused(400);
        assert_eq!(error, "Bad request");
        assert!(
            description.contains(because),
            "{platform} {body}: {description}"
        );
    }
}

#[tokio::test]
async fn a_registration_must_say_that_it_is_json() {
    let server = Server::start().await;
    let path = format!("{}/fcm", devices(&server.instance().await));
    let body = r#"{"token":"a"}"#;
    for content_type in [
        "text/plain",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let headers = [("Content-Type", content_type)];
        server
            .send(Method::POST, &path, &headers, body)
            .await
            .refused(400);
    }
    server
        .send(Method::POST, &path, &[], body)
        .await
        .refused(400);
    for content_type in [
        "application/json; charset=UTF-8",
        "application/json;charset=utf-8",
        "Application/JSON",
    ] {
        let headers = [("Content-Type", content_type)];
        server.send(Method::POST, &path, &headers, body).await.ok();
    }
}

#[tokio::test]
async fn a_body_beyond_all_measure_is_refused_and_the_refusal_is_readable() {
    let server = Server::start().await;
    let path = format!("{}/fcm", devices(&server.instance().await));
    let body = format!(r#"{{"token":"{}"}}"#, "a".repeat(3_000_000));
    let (_, description) = server.post(&path, &body).await.refused(400);
    assert!(description.contains("too large"), "{description}");
}

#[tokio::test]
async fn unknown_instances_and_platforms_have_no_devices() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = r#"{"token":"a"}"#;
    for id in ["abe1212381f60", "9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac"] {
        let path = format!("/device_api/v1/instances/{id}/devices/fcm");
        assert_eq!(
            server.post(&path, body).await.refused(404).0,
            "Instance not found"
        );
    }
    for platform in ["safari", "FCM", "x"] {
        server
            .post(&format!("{}/{platform}", devices(&instance)), body)
            .await
            .refused(404);
    }
}

#[tokio::test]
async fn a_known_gateway_token_keeps_its_device_with_all_it_has() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let path = format!("{}/apns", devices(&instance));
    let body = r#"{"token":"ABCD12","bundleIdentifier":"com.example.app","metadata":{"sdkVersion":"4.0.0"}}"#;
    let first = server.post(&path, body).await.ok().json();
    assert_eq!(first["initialInterestSet"], json!([]));
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("apns-"), "{id}");
    let interests = format!("{}/interests", device_path(&instance, id));
    server
        .put(&interests, r#"{"interests":["panda","zebra"]}"#)
        .await
        .ok_and_empty();
    server.bind(&instance, id, "alice").await.ok_and_empty();

    let again = r#"{"token":"abcd12","bundleIdentifier":"com.example.app"}"#;
    let second = server.post(&path, again).await.ok().json();
    assert_eq!(
        second,
        json!({"id": id, "initialInterestSet": ["panda", "zebra"]})
    );
    let shown = server.get(&device_path(&instance, id)).await.ok().json();
    assert_eq!(shown["userId"], "alice");
}

#[tokio::test]
async fn a_device_without_a_user_has_an_empty_user_id() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = r#"{"token":"t","metadata":{"sdkVersion":"1.9.2","androidVersion":"9"},"knownPreviousClientIds":["x"]}"#;
    let id = server
        .post(&format!("{}/fcm", devices(&instance)), body)
        .await
        .ok()
        .json()["id"]
        .clone();
    let shown = server
        .get(&device_path(&instance, id.as_str().unwrap()))
        .await
        .ok()
        .json();
    let expected =
        json!({"id": id, "userId": "", "metadata": {"sdkVersion": "1.9.2", "androidVersion": "9"}});
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_deleted_device_is_gone_and_its_token_gets_a_new_id() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    server.bind(&instance, &id, "alice").await.ok();
    server
        .delete(&device_path(&instance, &id))
        .await
        .ok_and_empty();
    assert_eq!(
        server
            .get(&device_path(&instance, &id))
            .await
            .refused(404)
            .0,
        "Device not found"
    );

    let fresh = server.fcm_device(&instance, "token").await;
    assert_ne!(fresh, id);
    let shown = server
        .get(&device_path(&instance, &fresh))
        .await
        .ok()
        .json();
    assert_eq!(shown["userId"], "");
}

#[tokio::test]
async fn deleting_what_is_not_there_succeeds() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let own = devices(&instance);
    let unknown = "/device_api/v1/instances/9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac/devices";
    let unknown_id = "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    for path in [
        format!("{own}/fcm/{unknown_id}"),
        format!("{own}/apns/{unknown_id}"),
        format!("{own}/fcm/nonsense"),
        format!("{own}/fcm/{}", "x".repeat(2000)),
        format!("{own}/fcm/%FF%FE"),
        format!("{own}/safari/{unknown_id}"),
        format!("{unknown}/fcm/{id}"),
        "/device_api/v1/instances/nonsense/devices/fcm/x".to_owned(),
    ] {
        server.delete(&path).await.ok_and_empty();
    }
    server.get(&device_path(&instance, &id)).await.ok();
}

#[tokio::test]
async fn a_device_is_seen_through_its_own_instance_and_platform_alone() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let id = server.fcm_device(&instance, "token").await;
    server.get(&device_path(&other, &id)).await.refused(404);
    server
        .get(&format!("{}/apns/{id}", devices(&instance)))
        .await
        .refused(404);
    server.delete(&device_path(&other, &id)).await.ok();
    server.get(&device_path(&instance, &id)).await.ok();
    // The same gateway token in two instances is two devices.
    assert_ne!(server.fcm_device(&other, "token").await, id);
}

#[tokio::test]
async fn ids_that_nobody_has_are_unknown_devices() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let base = devices(&instance);
    let long = "f".repeat(5000);
    for device in [
        "x", "fcm-", "fcm-123", "fcm-..", "%20", "fcm%2Dx", "☃", &long,
    ] {
        server
            .get(&format!("{base}/fcm/{device}"))
            .await
            .refused(404);
        let interests = format!("{base}/fcm/{device}/interests");
        server
            .put(&interests, r#"{"interests":[]}"#)
            .await
            .refused(404);
    }
    server.get(&format!("{base}/fcm/%FF")).await.refused(400);
}

#[tokio::test]
async fn a_browser_registers_with_its_subscription() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let path = format!("{}/web", devices(&instance));
    let body = |endpoint: &str| {
        json!({"token": web_token(endpoint), "metadata": {"sdkVersion": "2.1.0"}}).to_string()
    };
    let first = server
        .post(&path, &body("https://push.example.com/a"))
        .await
        .ok()
        .json();
    assert!(first["id"].as_str().unwrap().starts_with("web-"));
    let again = server
        .post(&path, &body("https://PUSH.example.com:443/a"))
        .await
        .ok()
        .json();
    assert_eq!(
        again["id"], first["id"],
        "the endpoint is what makes it the same device"
    );
}

#[tokio::test]
async fn an_exception_for_webhooks_admits_no_subscription() {
    let server = Server::start_with(&[
        ("outbound.allow_webhooks", "127.0.0.0/8"),
        ("outbound.deny", "8.8.8.0/24,127.0.0.9/32"),
    ])
    .await;
    let instance = server.instance().await;
    let path = format!("{}/web", devices(&instance));
    for endpoint in [
        "https://127.0.0.1/a",
        "https://127.0.0.1:8443/a",
        "https://8.8.8.8/a",
    ] {
        let body = json!({"token": web_token(endpoint)}).to_string();
        server.post(&path, &body).await.refused(400);
    }
    let body = json!({"token": web_token("https://8.8.4.4/a")}).to_string();
    server.post(&path, &body).await.ok();
    let guard = server.app.instances().guard();
    assert!(guard.check_webhook("http://127.0.0.1:8080/").is_ok());
    for denied in ["http://127.0.0.9:8080/", "https://8.8.8.8/"] {
        assert!(guard.check_webhook(denied).is_err(), "{denied}");
    }
}

#[tokio::test]
async fn a_subscription_that_leads_inside_is_refused_without_a_reason() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let path = format!("{}/web", devices(&instance));
    let mut descriptions = Vec::new();
    for endpoint in [
        "https://127.0.0.1/a",
        "https://10.0.0.1/a",
        "https://[::1]/a",
        "https://169.254.169.254/latest",
        "https://0x7f000001/a",
        "https://push.example.com:8443/a",
    ] {
        let body = json!({"token": web_token(endpoint)}).to_string();
        let (_, description) = server.post(&path, &body).await.refused(400);
        descriptions.push(description);
    }
    descriptions.dedup();
    assert_eq!(descriptions.len(), 1, "{descriptions:?}");
}
