//! `/admin_api/v1/instances`

use http::Method;
use serde_json::{Value, json};

use super::{call, full, read};
use crate::support::Server;

#[tokio::test]
async fn one_is_created_shown_renamed_and_deleted() {
    let server = Server::start().await;
    let root = full(&server).await;
    let body = json!({"name": "shop"});
    let created = call(&server, &root, Method::POST, "/instances", &body)
        .await
        .ok()
        .json();
    let id = created["id"].as_str().unwrap();
    let key = created["secretKey"].as_str().unwrap();
    assert_eq!(
        (key.len(), created["vapidPublicKey"].as_str().unwrap().len()),
        (64, 87)
    );
    let path = format!("/instances/{id}");
    let shown = read(&server, &root, &path).await.ok();
    assert!(!shown.body.contains(key), "the key is shown once");
    let shown = shown.json();
    assert_eq!(shown["name"], "shop");
    assert_eq!(
        (&shown["devices"], &shown["devicesMax"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(shown["secretKeys"][0]["hint"], format!("…{}", &key[60..]));
    // The key works at once.
    let publishes = format!("/publish_api/v1/instances/{id}/publishes");
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str())];
    server
        .send(Method::GET, &publishes, &headers, "")
        .await
        .ok();

    let renamed = call(
        &server,
        &root,
        Method::PATCH,
        &path,
        &json!({"name": "new shop"}),
    )
    .await;
    assert_eq!(renamed.ok().json()["name"], "new shop");
    let listed = read(&server, &root, "/instances").await.ok().json();
    assert_eq!(listed["instances"][0]["name"], "new shop");

    call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .ok();
    read(&server, &root, &path).await.refused(404);
    call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .refused(404);
}

#[tokio::test]
async fn what_an_instance_cannot_be_is_told() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let taken = json!({"name": "x", "id": instance.id.to_string()});
    let reply = call(&server, &root, Method::POST, "/instances", &taken).await;
    let (_, why) = reply.refused(409);
    assert!(why.contains(&instance.id.to_string()), "{why}");
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": 1}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"name": "x", "id": "shop"}), "id"),
        (
            json!({"name": "x", "secretKey": "has a space"}),
            "secretKey",
        ),
    ] {
        let reply = call(&server, &root, Method::POST, "/instances", &body).await;
        let (_, why) = reply.refused(400);
        assert!(
            why.contains(&format!("`{field}`")) && !why.contains("has a space"),
            "{body}: {why}"
        );
    }
    let path = format!("/instances/{}", instance.id);
    call(&server, &root, Method::PATCH, &path, &json!({"name": ""}))
        .await
        .refused(400);
    let large = json!({"name": "x".repeat(70_000)});
    let (_, why) = call(&server, &root, Method::PATCH, &path, &large)
        .await
        .refused(400);
    assert!(why.contains("too large"), "{why}");
}
