//! The `Idempotency-Key` of publishes.

use std::time::Duration;

use http::Method;

use super::{accepted, publishes};
use crate::support::{Instance, JSON, Reply, Server};

const BODY: &str = r#"{"interests":["hello"],"fcm":{"data":{"n":1}}}"#;

async fn publish(server: &Server, instance: &Instance, rest: &str, key: &str, body: &str) -> Reply {
    let authorization = instance.authorization();
    let headers = [
        JSON,
        ("Authorization", authorization.as_str()),
        ("Idempotency-Key", key),
    ];
    let path = publishes(instance.id, rest);
    server
        .send(Method::POST, &path, &headers, body.to_owned())
        .await
}

#[tokio::test]
async fn what_is_no_key_is_400() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let long = "k".repeat(256);
    for bad in ["", "a b", long.as_str()] {
        let reply = publish(&server, &instance, "/interests", bad, BODY).await;
        assert!(reply.refused(400).1.contains("Idempotency-Key"));
    }
    let authorization = instance.authorization();
    let twice = [
        JSON,
        ("Authorization", authorization.as_str()),
        ("Idempotency-Key", "a"),
        ("Idempotency-Key", "b"),
    ];
    let path = publishes(instance.id, "/interests");
    server
        .send(Method::POST, &path, &twice, BODY)
        .await
        .refused(400);
}

#[tokio::test]
async fn another_request_with_the_same_key_is_422() {
    let server = Server::start().await;
    let instance = server.instance().await;
    accepted(publish(&server, &instance, "/interests", "k", BODY).await);
    let other = BODY.replace('1', "2");
    let reply = publish(&server, &instance, "/interests", "k", &other).await;
    reply.refused(422);
    assert_eq!(reply.header("idempotency-replayed"), None);
    let users = r#"{"users":["hello"],"fcm":{"data":{"n":1}}}"#;
    publish(&server, &instance, "/users", "k", users)
        .await
        .refused(422);
}

#[tokio::test]
async fn a_repetition_is_the_same_publish_for_a_day_and_across_restarts() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let first = publish(&server, &instance, "/interests", "k", BODY).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let id = accepted(first);
    // The first form of the URL is the same resource.
    for rest in ["/interests", ""] {
        let again = publish(&server, &instance, rest, "k", BODY).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(accepted(again), id);
    }
    assert_ne!(
        accepted(publish(&server, &other, "/interests", "k", BODY).await),
        id,
        "keys are an instance's own"
    );
    assert_ne!(
        accepted(publish(&server, &instance, "/interests", "l", BODY).await),
        id
    );
    let server = server.restart().await;
    server.clock.advance(Duration::from_secs(24 * 60 * 60));
    let again = publish(&server, &instance, "/interests", "k", BODY).await;
    assert_eq!(accepted(again), id);
    server.clock.advance(Duration::from_millis(1));
    let late = publish(&server, &instance, "/interests", "k", BODY).await;
    assert_eq!(late.header("idempotency-replayed"), None);
    assert_ne!(accepted(late), id);
}

#[tokio::test]
async fn many_at_once_are_one_publish() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let calls = (0..20).map(|_| publish(&server, &instance, "/interests", "k", BODY));
    let mut ids: Vec<_> = futures_util::future::join_all(calls)
        .await
        .into_iter()
        .map(accepted)
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key() {
    let server = Server::start().await;
    let instance = server.instance().await;
    publish(&server, &instance, "/interests", "k", "{}")
        .await
        .refused(422);
    accepted(publish(&server, &instance, "/interests", "k", BODY).await);
}

#[tokio::test]
async fn a_repetition_after_the_end_is_still_one() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = r#"{"interests":["hello"],"fcm":{"data":{}},"expiresAt":"2026-01-01T00:01:00Z"}"#;
    let id = accepted(publish(&server, &instance, "/interests", "k", body).await);
    server.clock.advance(Duration::from_secs(120));
    let again = publish(&server, &instance, "/interests", "k", body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(accepted(again), id);
    publish(&server, &instance, "/interests", "l", body)
        .await
        .refused(422);
}
