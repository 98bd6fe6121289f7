//! `dryRun` of publishes.

use http::Method;
use serde_json::json;

use super::{call, devices_of, publish};
use crate::support::Server;

#[tokio::test]
async fn all_rules_are_checked() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for bad in [
        json!({"users": [], "fcm": {"data": {}}, "dryRun": true}),
        json!({"users": ["a"], "dryRun": true}),
        json!({"users": ["a"], "fcm": {"data": {}}, "dryRun": "yes"}),
        json!({"users": ["a"], "fcm": {"data": {}}, "dryRun": true, "sendAt": "x"}),
    ] {
        publish(&server, &instance, "/users", &bad.to_string())
            .await
            .refused(422);
    }
}

#[tokio::test]
async fn an_audience_is_counted_and_nothing_kept() {
    let server = Server::start().await;
    let instance = server.instance().await;
    devices_of(&server, &instance, "alice", 3).await;
    devices_of(&server, &instance, "bob", 1).await;
    let body = json!({
        "users": ["alice", "bob", "carol"],
        "fcm": {"data": {}},
        "apns": {"aps": {"alert": "x"}},
        "dryRun": true,
    });
    let reply = publish(&server, &instance, "/users", &body.to_string()).await;
    assert_eq!(
        reply.ok().json(),
        json!({
            "dryRun": true,
            "devices": {"apns": 0, "fcm": 4},
            "users": {"withDevices": 2, "withoutDevices": 1},
        })
    );
    let body = json!({"interests": ["news"], "web": {"data": {}}, "dryRun": true});
    let reply = publish(&server, &instance, "/interests", &body.to_string()).await;
    assert_eq!(
        reply.ok().json(),
        json!({"dryRun": true, "devices": {"web": 0}})
    );
    let page = call(&server, &instance, Method::GET, "").await.ok().json();
    assert_eq!(page["publishes"], json!([]));
}
