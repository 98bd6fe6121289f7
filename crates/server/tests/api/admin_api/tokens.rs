//! Admin tokens: who has none, makes some, loses one.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{call, for_one, full, read, token_with};
use crate::support::{NOW, Server};
use domain::admin_token::Right;

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let server = Server::start().await;
    let path = "/admin_api/v1/instances";
    let reply = server.get(path).await;
    let (error, why) = reply.refused(401);
    assert!(
        error == "Unauthorized" && why.contains("admin token"),
        "{why}"
    );
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let real = full(&server).await;
    let almost = format!(
        "{}{}",
        &real[..46],
        if real.ends_with('A') { 'B' } else { 'A' }
    );
    for wrong in ["hsa_", "x", &real[4..], &almost, &real.to_lowercase()] {
        let (_, why) = read(&server, wrong, "/instances").await.refused(401);
        assert!(wrong.len() < 40 || !why.contains(wrong), "{why}");
    }
    read(&server, &real, "/instances").await.ok();
}

#[tokio::test]
async fn a_token_is_shown_once_and_kept_as_a_digest() {
    let server = Server::start().await;
    let root = full(&server).await;
    let body = json!({"name": "deploy script", "may": "read", "expiresAt": "2026-02-01T00:00:00Z"});
    let created = call(&server, &root, Method::POST, "/admin-tokens", &body)
        .await
        .ok()
        .json();
    let token = created["token"].as_str().unwrap();
    assert!(token.starts_with("hsa_") && token.len() == 47);
    let listed = read(&server, &root, "/admin-tokens").await.ok();
    assert!(!listed.body.contains(token));
    let listed = listed.json();
    let own = &listed["adminTokens"][1];
    assert_eq!(own["name"], "deploy script");
    assert_eq!(
        (&own["may"], &own["instances"]),
        (&json!("read"), &Value::Null)
    );
    assert_eq!(own["hint"], format!("{}…", &token[..8]));
    assert_eq!(own["expiresAt"], "2026-02-01T00:00:00Z");
    assert_eq!(own["usedAt"], Value::Null);
}

#[tokio::test]
async fn the_last_use_is_known_to_the_minute() {
    let server = Server::start().await;
    let root = full(&server).await;
    let used = async || {
        let listed = read(&server, &root, "/admin-tokens").await.ok().json();
        listed["adminTokens"][0]["usedAt"].clone()
    };
    assert_eq!(used().await, NOW.to_string());
    server.clock.advance(Duration::from_secs(59));
    assert_eq!(used().await, NOW.to_string());
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(used().await, NOW.after(Duration::from_secs(60)).to_string());
}

#[tokio::test]
async fn a_revoked_or_expired_token_counts_no_more() {
    let server = Server::start().await;
    let root = full(&server).await;
    let make = async |body: Value| {
        let created = call(&server, &root, Method::POST, "/admin-tokens", &body)
            .await
            .ok()
            .json();
        let number = created["number"].as_i64().unwrap();
        (number, created["token"].as_str().unwrap().to_owned())
    };
    let (number, revoked) = make(json!({"name": "a"})).await;
    let (_, expiring) = make(json!({"name": "b", "expiresAt": "2026-01-01T01:00:00Z"})).await;
    for token in [&revoked, &expiring] {
        read(&server, token, "/instances").await.ok();
    }
    let path = format!("/admin-tokens/{number}");
    let delete = async || call(&server, &root, Method::DELETE, &path, &Value::Null).await;
    delete().await.ok();
    read(&server, &revoked, "/instances").await.refused(401);
    delete().await.refused(404);
    for none in ["abc", "99999999999999999999", "%20"] {
        let path = format!("/admin-tokens/{none}");
        let reply = call(&server, &root, Method::DELETE, &path, &Value::Null).await;
        let (_, why) = reply.refused(404);
        assert_eq!(why, "there is no such admin token");
    }
    server.clock.advance(Duration::from_secs(3599));
    read(&server, &expiring, "/instances").await.ok();
    server.clock.advance(Duration::from_secs(1));
    read(&server, &expiring, "/instances").await.refused(401);
}

#[tokio::test]
async fn a_token_counts_at_once_on_every_node() {
    let server = Server::start().await;
    let other = server.beside().await;
    let root = full(&server).await;
    read(&other, &root, "/instances").await.ok();
    let number = read(&other, &root, "/admin-tokens").await.ok().json();
    let number = number["adminTokens"][0]["number"].as_i64().unwrap();
    let second = full(&server).await;
    let path = format!("/admin-tokens/{number}");
    call(&other, &second, Method::DELETE, &path, &Value::Null)
        .await
        .ok();
    read(&server, &root, "/instances").await.refused(401);
}

#[tokio::test]
async fn what_a_token_cannot_be_is_told() {
    let server = Server::start().await;
    let root = full(&server).await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"name": "a", "may": "all"}), "may"),
        (json!({"name": "a", "expiresAt": "tomorrow"}), "expiresAt"),
        (
            json!({"name": "a", "expiresAt": "2025-12-31T00:00:00Z"}),
            "expiresAt",
        ),
        (json!({"name": "a", "instances": []}), "instances"),
        (json!({"name": "a", "instances": "all"}), "instances"),
        (json!({"name": "a", "instances": ["x"]}), "instances"),
    ] {
        let reply = call(&server, &root, Method::POST, "/admin-tokens", &body).await;
        let (_, why) = reply.refused(400);
        assert!(why.contains(&format!("`{field}`")), "{body}: {why}");
    }
    // Nor may a link be for no instance at all.
    let body = json!({"name": "a", "instances": []});
    let reply = call(&server, &root, Method::POST, "/admin-tokens/links", &body).await;
    let (_, why) = reply.refused(400);
    assert!(why.contains("`instances`"), "{why}");
    let listed = read(&server, &root, "/admin-tokens").await.ok().json();
    assert_eq!(listed["adminTokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let server = Server::start().await;
    let root = full(&server).await;
    let guess = format!("hsa_{}", "A".repeat(43));
    for _ in 0..30 {
        read(&server, &guess, "/instances").await.refused(401);
    }
    let (error, _) = read(&server, &guess, "/instances").await.refused(429);
    assert_eq!(error, "Too many requests");
    // Nobody has shown it here before.
    read(&server, &root, "/instances").await.ok();
}

#[tokio::test]
async fn a_confined_token_makes_no_others() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let confined = token_with(&server, for_one(instance.id, Right::Write)).await;
    let body = json!({"name": "more"});
    let reply = call(&server, &confined, Method::POST, "/admin-tokens", &body).await;
    let (error, why) = reply.refused(403);
    assert_eq!(error, "Forbidden");
    assert!(why.contains("for all instances that may write"), "{why}");
}
