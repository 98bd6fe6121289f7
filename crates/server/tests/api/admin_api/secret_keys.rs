//! `…/secret-keys`

use std::time::Duration;

use domain::instance::SecretKey;
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{call, full, read};
use crate::support::{Instance, Server};

/// Far more than a change takes to count.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn one_key_takes_over_from_another() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let keys = format!("/instances/{}/secret-keys", instance.id);
    let works = async |key: &str| {
        let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
        let bearer = format!("Bearer {key}");
        let headers = [("Authorization", bearer.as_str())];
        server.send(Method::GET, &path, &headers, "").await.status == 200
    };
    let added = call(&server, &root, Method::POST, &keys, &json!({}))
        .await
        .ok()
        .json();
    let fresh = added["secretKey"].as_str().unwrap().to_owned();
    let eventually = async |key: &str, wanted: bool| {
        // Within the half second that an instance is cached for.
        let deadline = Instant::now() + PATIENCE;
        while works(key).await != wanted {
            assert!(Instant::now() < deadline, "the change never counted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, "ann").await.ok();
    eventually(&fresh, true).await;
    assert!(works(instance.key.reveal()).await);

    let listed = read(&server, &root, &keys).await.ok();
    assert!(!listed.body.contains(&fresh));
    let listed = listed.json();
    assert_eq!(listed["secretKeys"].as_array().unwrap().len(), 2);
    let first = listed["secretKeys"][0]["number"].as_i64().unwrap();
    let revoke = async |number: i64| {
        let path = format!("{keys}/{number}");
        call(&server, &root, Method::DELETE, &path, &Value::Null).await
    };
    let none = format!("{keys}/abc");
    let reply = call(&server, &root, Method::DELETE, &none, &Value::Null).await;
    reply.refused(404);
    revoke(first).await.ok();
    eventually(instance.key.reveal(), false).await;
    // Neither is what it signed: with the key before, the same call binds the same user once more.
    server.bind(&instance, &device, "ann").await.refused(401);
    let renewed = Instance {
        id: instance.id,
        key: SecretKey::parse(&fresh).unwrap(),
    };
    server.bind(&renewed, &device, "ann").await.ok();
    revoke(first).await.refused(404);
    let second = added["number"].as_i64().unwrap();
    let (_, why) = revoke(second).await.refused(409);
    assert!(why.contains("the last one"), "{why}");
    assert!(works(&fresh).await);
}

#[tokio::test]
async fn a_key_may_be_brought_along() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let keys = format!("/instances/{}/secret-keys", instance.id);
    let body = json!({"secretKey": "brought-along-0001"});
    let added = call(&server, &root, Method::POST, &keys, &body)
        .await
        .ok()
        .json();
    assert_eq!(added["secretKey"], "brought-along-0001");
    let wrong = json!({"secretKey": "å"});
    let (_, why) = call(&server, &root, Method::POST, &keys, &wrong)
        .await
        .refused(400);
    assert!(!why.contains('å'), "{why}");
}
