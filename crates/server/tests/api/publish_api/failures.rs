//! `…/publishes/{publish}/failures`

use http::Method;
use serde_json::json;

use super::{accepted, call, devices_of, in_state, publish};
use crate::support::Server;

#[tokio::test]
async fn failures_come_in_pages_without_gateway_tokens() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let devices = devices_of(&server, &instance, "alice", 5).await;
    let body = r#"{"users":["alice"],"fcm":{"data":{}}}"#;
    let id = accepted(publish(&server, &instance, "/users", body).await);
    in_state(&server, &instance, &id, "finished").await;
    for bad in ["limit=0", "limit=1001", "cursor=x"] {
        let rest = format!("/{id}/failures?{bad}");
        call(&server, &instance, Method::GET, &rest)
            .await
            .refused(400);
    }
    let mut found = Vec::new();
    let mut rest = format!("/{id}/failures?limit=2");
    loop {
        let reply = call(&server, &instance, Method::GET, &rest).await.ok();
        assert!(!reply.body.contains("alice-"), "{reply:?}");
        let page = reply.json();
        let failures = page["failures"].as_array().unwrap();
        assert!(failures.len() <= 2);
        found.extend(failures.clone());
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        rest = format!("/{id}/failures?limit=2&cursor={cursor}");
    }
    let ids: Vec<_> = found
        .iter()
        .map(|one| one["device"].as_str().unwrap())
        .collect();
    assert_eq!(ids, devices);
    assert_eq!(
        found[0],
        json!({
            "device": devices[0],
            "platform": "fcm",
            "user": "alice",
            "outcome": "rejected",
            "reason": "no_credential",
            "at": "2026-01-01T00:00:00Z",
        })
    );
}
