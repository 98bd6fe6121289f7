//! `…/publishes`

use http::Method;
use serde_json::{Value, json};

use super::{call, full, read};
use crate::support::Server;

#[tokio::test]
async fn a_publish_is_made_followed_and_cancelled() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, "ann").await.ok();
    let at = format!("/instances/{}/publishes", instance.id);
    let body = json!({"users": ["ann"], "fcm": {"data": {}}, "sendAt": "2026-01-01T01:00:00Z"});
    let accepted = call(&server, &root, Method::POST, &at, &body)
        .await
        .ok()
        .json();
    let id = accepted["publishId"].as_str().unwrap();
    let path = format!("{at}/{id}");
    let shown = read(&server, &root, &path).await.ok().json();
    assert_eq!(
        (&shown["state"], &shown["audience"]["kind"]),
        (&json!("scheduled"), &json!("users"))
    );
    // The same as the publish API shows.
    let publish_api = format!("/publish_api/v1{path}");
    let bearer = instance.authorization();
    let headers = [("Authorization", bearer.as_str())];
    let same = server.send(Method::GET, &publish_api, &headers, "").await;
    assert_eq!(same.ok().json(), shown);
    let listed = read(&server, &root, &format!("{at}?status=scheduled"))
        .await
        .ok()
        .json();
    assert_eq!(listed["publishes"][0]["publishId"], id);
    let cancelled = call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .ok();
    assert_eq!(cancelled.json()["state"], "cancelled");
    let failures = read(&server, &root, &format!("{path}/failures"))
        .await
        .ok()
        .json();
    assert_eq!(failures["failures"], json!([]));
    let replay = format!("{path}/replay");
    let replayed = call(&server, &root, Method::POST, &replay, &Value::Null).await;
    assert_ne!(replayed.ok().json()["publishId"], id);
}

#[tokio::test]
async fn a_publish_to_interests_and_a_dry_run() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let at = format!("/instances/{}/publishes", instance.id);
    let body = json!({"interests": ["news"], "fcm": {"data": {}}});
    let id = call(&server, &root, Method::POST, &at, &body)
        .await
        .ok()
        .json()["publishId"]
        .clone();
    let path = format!("{at}/{}", id.as_str().unwrap());
    // It is for nobody, so it has finished.
    let (_, why) = call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .refused(409);
    assert!(why.contains("finished"), "{why}");
    let dry = json!({"interests": ["news"], "fcm": {"data": {}}, "dryRun": true});
    let counted = call(&server, &root, Method::POST, &at, &dry)
        .await
        .ok()
        .json();
    assert_eq!(counted, json!({"dryRun": true, "devices": {"fcm": 0}}));
    let listed = read(&server, &root, &at).await.ok().json();
    assert_eq!(listed["publishes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_publish_is_told() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let at = format!("/instances/{}/publishes", instance.id);
    for (body, status) in [
        (json!([]), 400),
        (json!({}), 422),
        (json!({"users": [], "fcm": {}}), 422),
        (json!({"interests": ["a b"], "fcm": {"data": {}}}), 422),
        (
            json!({"users": ["a"], "fcm": {"data": {}}, "expiresAt": "2025-01-01T00:00:00Z"}),
            422,
        ),
    ] {
        call(&server, &root, Method::POST, &at, &body)
            .await
            .refused(status);
    }
    let unknown = domain::publish::PublishId::random();
    for path in [format!("{at}/{unknown}"), format!("{at}/x")] {
        read(&server, &root, &path).await.refused(404);
        call(&server, &root, Method::DELETE, &path, &Value::Null)
            .await
            .refused(404);
        call(
            &server,
            &root,
            Method::POST,
            &format!("{path}/replay"),
            &Value::Null,
        )
        .await
        .refused(404);
        read(&server, &root, &format!("{path}/failures"))
            .await
            .refused(404);
    }
    read(&server, &root, &format!("{at}?status=done"))
        .await
        .refused(400);
}
