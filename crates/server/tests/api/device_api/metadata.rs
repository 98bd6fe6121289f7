//! `…/devices/{platform}/{device}/metadata`

use serde_json::json;

use crate::support::{Server, device_path};

#[tokio::test]
async fn metadata_must_be_a_small_object_of_a_known_device() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let path = format!("{}/metadata", device_path(&instance, &id));
    let large = json!({"sdkVersion": "x".repeat(3000)}).to_string();
    let larger = json!({"sdkVersion": "x".repeat(30_000)}).to_string();
    for bad in ["", "[]", "7", &large, &larger] {
        server.put(&path, bad).await.refused(400);
    }
    let unknown = device_path(&instance, "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac");
    let reply = server.put(&format!("{unknown}/metadata"), "{}").await;
    assert_eq!(reply.refused(404).0, "Device not found");
    let shown = server.get(&device_path(&instance, &id)).await.ok().json();
    assert_eq!(shown["metadata"], json!({}));
}

#[tokio::test]
async fn metadata_is_replaced_whole() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let path = format!("{}/metadata", device_path(&instance, &id));
    server
        .put(&path, r#"{"sdkVersion":"1.9.2","androidVersion":"9"}"#)
        .await
        .ok_and_empty();
    server
        .put(&path, r#"{"sdkVersion":"1.9.3"}"#)
        .await
        .ok_and_empty();
    let shown = server.get(&device_path(&instance, &id)).await.ok().json();
    assert_eq!(shown["metadata"], json!({"sdkVersion": "1.9.3"}));
}
