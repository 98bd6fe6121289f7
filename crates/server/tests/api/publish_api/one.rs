//! `…/publishes/{publish}`

use http::Method;
use serde_json::json;

use super::{accepted, call, devices_of, in_state, publish, publishes, show};
use crate::support::Server;

const LATER: &str = "2026-01-01T01:00:00Z";

#[tokio::test]
async fn unknown_publishes_are_404_and_keys_are_needed() {
    let server = Server::start().await;
    let (mine, other) = (server.instance().await, server.instance().await);
    let body = r#"{"users":["alice"],"fcm":{"data":{}}}"#;
    let id = accepted(publish(&server, &mine, "/users", body).await);
    for rest in [format!("/{id}"), format!("/{id}/failures")] {
        call(&server, &other, Method::GET, &rest).await.refused(404);
        let path = publishes(mine.id, &rest);
        server.get(&path).await.refused(400);
        let wrong = [("Authorization", "Bearer WRONG")];
        server
            .send(Method::GET, &path, &wrong, "")
            .await
            .refused(401);
    }
    let never = domain::publish::PublishId::random().to_string();
    for bad in [never.as_str(), "everybody", "pubid-", "pubid-x", "%FF"] {
        let texts = call(&server, &mine, Method::GET, &format!("/{bad}")).await;
        texts.refused(if bad == "%FF" { 400 } else { 404 });
    }
    for method in [Method::GET, Method::DELETE] {
        let (error, _) = call(&server, &mine, method, &format!("/{never}"))
            .await
            .refused(404);
        assert_eq!(error, "Publish not found");
    }
    call(&server, &mine, Method::DELETE, "/everybody")
        .await
        .refused(404);
}

#[tokio::test]
async fn what_became_of_a_publish_to_users() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let devices = devices_of(&server, &instance, "alice", 2).await;
    let body = r#"{"users":["alice","bob"],"fcm":{"notification":{"title":"x"}}}"#;
    let id = accepted(publish(&server, &instance, "/users", body).await);
    let shown = in_state(&server, &instance, &id, "finished").await;
    assert_eq!(shown["publishId"], id);
    assert_eq!(shown["audience"], json!({"kind": "users", "size": 2}));
    assert_eq!(shown["acceptedAt"], "2026-01-01T00:00:00Z");
    assert_eq!(shown["sendAt"], shown["acceptedAt"]);
    assert_eq!(shown["finishedAt"], shown["acceptedAt"]);
    assert!(shown["expiresAt"].is_null());
    let why = ("fcm", "rejected", "no_credential");
    assert_eq!(
        shown["tallies"],
        json!([{"platform": why.0, "outcome": why.1, "reason": why.2, "count": 2}])
    );
    assert_eq!(
        shown["users"],
        json!([
            {"user": "alice", "outcome": "failed", "accepted": 0, "failed": 2},
            {"user": "bob", "outcome": "no_devices", "accepted": 0, "failed": 0},
        ])
    );
    assert!(shown["usersNextCursor"].is_null());
    let failures = shown["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{shown}");
    assert_eq!(failures[0]["reason"], why.2);
    assert_eq!(failures[0]["examples"][0]["user"], "alice");
    assert_eq!(failures[0]["examples"][0]["device"], devices[0].as_str());
    assert!(!shown.to_string().contains("alice-0"), "no gateway tokens");
}

#[tokio::test]
async fn many_users_come_in_pages() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let names: Vec<_> = (0..250).map(|n| format!("ü {n:03}&")).collect();
    let body = json!({"users": names, "fcm": {"data": {}}}).to_string();
    let id = accepted(publish(&server, &instance, "/users", &body).await);
    let mut found = Vec::new();
    let mut rest = format!("/{id}");
    loop {
        let page = call(&server, &instance, Method::GET, &rest)
            .await
            .ok()
            .json();
        let users = page["users"].as_array().unwrap();
        found.extend(
            users
                .iter()
                .map(|user| user["user"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["usersNextCursor"].as_str() else {
            break;
        };
        rest = format!("/{id}?users_cursor={cursor}");
    }
    assert_eq!(found, names);
    let nonsense = format!("/{id}?users_cursor=%21");
    call(&server, &instance, Method::GET, &nonsense)
        .await
        .refused(400);
}

#[tokio::test]
async fn what_has_finished_cannot_be_cancelled() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = r#"{"interests":["nobody"],"fcm":{"data":{}}}"#;
    let id = accepted(publish(&server, &instance, "/interests", body).await);
    let rest = format!("/{id}");
    let (error, _) = call(&server, &instance, Method::DELETE, &rest)
        .await
        .refused(409);
    assert_eq!(error, "Conflict");
    assert_eq!(show(&server, &instance, &id).await["state"], "finished");
}

#[tokio::test]
async fn what_is_scheduled_is_cancelled_for_good() {
    let server = Server::start().await;
    let instance = server.instance().await;
    devices_of(&server, &instance, "alice", 1).await;
    let body = json!({"users": ["alice"], "fcm": {"data": {}}, "sendAt": LATER}).to_string();
    let id = accepted(publish(&server, &instance, "/users", &body).await);
    let rest = format!("/{id}");
    for _ in 0..2 {
        let reply = call(&server, &instance, Method::DELETE, &rest).await.ok();
        assert_eq!(reply.json(), json!({"publishId": id, "state": "cancelled"}));
    }
    server.clock.advance(std::time::Duration::from_secs(7200));
    // Another one that is due shows that the schedule was gone through.
    let other = json!({"users": ["alice"], "fcm": {"data": {}}, "sendAt": "2026-01-01T02:00:01Z"});
    let other = accepted(publish(&server, &instance, "/users", &other.to_string()).await);
    server.clock.advance(std::time::Duration::from_secs(2));
    in_state(&server, &instance, &other, "finished").await;
    let shown = show(&server, &instance, &id).await;
    assert_eq!(shown["state"], "cancelled");
    assert_eq!(shown["tallies"], json!([]));
}
