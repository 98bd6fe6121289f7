//! `…/publishes/{publish}/replay`

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{accepted, call, devices_of, in_state, publish, publishes};
use crate::support::Server;

#[tokio::test]
async fn what_cannot_be_replayed() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let never = domain::publish::PublishId::random();
    call(
        &server,
        &instance,
        Method::POST,
        &format!("/{never}/replay"),
    )
    .await
    .refused(404);
    let scheduled = json!({
        "users": ["alice"], "fcm": {"data": {}},
        "sendAt": "2026-01-01T01:00:00Z", "expiresAt": "2026-01-01T02:00:00Z",
    });
    let id = accepted(publish(&server, &instance, "/users", &scheduled.to_string()).await);
    let rest = format!("/{id}/replay");
    let (error, description) = call(&server, &instance, Method::POST, &rest)
        .await
        .refused(409);
    assert_eq!(error, "Conflict");
    assert!(description.contains("has not finished"), "{description}");
    server.clock.advance(Duration::from_secs(3 * 60 * 60));
    in_state(&server, &instance, &id, "finished").await;
    let (_, description) = call(&server, &instance, Method::POST, &rest)
        .await
        .refused(409);
    assert!(description.contains("expiresAt"), "{description}");
}

#[tokio::test]
async fn exactly_the_devices_that_failed_get_it_again() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let devices = devices_of(&server, &instance, "alice", 3).await;
    let body = r#"{"users":["alice"],"fcm":{"data":{}}}"#;
    let id = accepted(publish(&server, &instance, "/users", body).await);
    in_state(&server, &instance, &id, "finished").await;
    // A device that came later was not failed for; one that is gone cannot be sent to.
    devices_of(&server, &instance, "bob", 1).await;
    server
        .delete(&crate::support::device_path(&instance, &devices[1]))
        .await
        .ok();
    let rest = format!("/{id}/replay");
    let replay = accepted(call(&server, &instance, Method::POST, &rest).await);
    assert_ne!(replay, id);
    let shown = in_state(&server, &instance, &replay, "finished").await;
    assert_eq!(shown["audience"], json!({"kind": "failures", "of": id}));
    assert_eq!(shown["tallies"][0]["count"], 2, "{shown}");
    let rest = format!("/{replay}/failures");
    let failed = call(&server, &instance, Method::GET, &rest)
        .await
        .ok()
        .json();
    let again: Vec<_> = failed["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["device"].as_str().unwrap())
        .collect();
    assert_eq!(again, [devices[0].as_str(), devices[2].as_str()]);
}

#[tokio::test]
async fn a_replay_can_be_repeated_safely() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = r#"{"users":["nobody"],"fcm":{"data":{}}}"#;
    let one = accepted(publish(&server, &instance, "/users", body).await);
    let other = accepted(publish(&server, &instance, "/users", body).await);
    let authorization = instance.authorization();
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Idempotency-Key", "again"),
    ];
    let replay = |id: String| {
        let path = publishes(instance.id, &format!("/{id}/replay"));
        let (server, headers) = (&server, &headers);
        async move { server.send(Method::POST, &path, headers, "").await }
    };
    let first = accepted(replay(one.clone()).await);
    let second = replay(one).await;
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(accepted(second), first);
    replay(other).await.refused(422);
}
