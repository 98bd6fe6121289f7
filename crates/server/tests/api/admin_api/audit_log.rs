//! The audit log: that every call that changes something is in it.

use std::collections::BTreeSet;

use domain::admin_token::Right;
use domain::instance::InstanceName;
use futures_util::poll;
use http::Method;
use serde_json::{Value, json};
use server::admin::actor::Actor;
use server::admin::instances;
use store::administration::{AuditFilter, AuditOutcome};

use super::scopes::concrete;
use super::{call, for_one, full, read, token_with};
use crate::support::Server;
use crate::webhooks::receiver::until;

async fn newest(server: &Server, root: &str) -> Value {
    let page = read(server, root, "/audit-log?limit=1").await.ok().json();
    page["entries"][0].clone()
}

#[tokio::test]
async fn every_call_that_changes_something_is_written_down() {
    let server = Server::start().await;
    let root = full(&server).await;
    let description = server.get("/openapi.json").await.ok().json();
    let mut actions = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        if !path.starts_with("/admin_api/") {
            continue;
        }
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let changes = method != Method::GET || path.ends_with("/export");
            if !changes {
                continue;
            }
            let instance = server.instance().await;
            let path_of = concrete(path, &instance.id.to_string());
            let before = newest(&server, &root).await;
            let body = body_for(&method, path);
            let reply = call(&server, &root, method.clone(), &path_of, &body).await;
            let after = newest(&server, &root).await;
            let what = format!("{method} {path}: {} {}", reply.status, reply.body);
            let is_token = path.ends_with("/admin-tokens/{number}");
            if is_token {
                // To revoke what there is not changes nothing.
                assert_eq!(reply.status, 404, "{what}");
                continue;
            }
            assert!([200, 404, 409].contains(&reply.status.as_u16()), "{what}");
            assert_ne!(after["number"], before["number"], "{what}");
            assert_eq!(
                (&after["actor"], &after["tokenName"]),
                (&json!("token"), &json!("a test"))
            );
            let outcome = if reply.status == 200 {
                "done"
            } else {
                "failed"
            };
            assert_eq!(after["outcome"], outcome, "{what}");
            assert_eq!(after["reason"].is_null(), reply.status == 200, "{what}");
            if path.contains("{instance}") {
                assert_eq!(after["instance"], instance.id.to_string(), "{what}");
            }
            actions.insert(after["action"].as_str().unwrap().to_owned());
        }
    }
    assert!(actions.len() >= 15, "{actions:?}");
}

/// What a call takes, so far that it is not refused before anything is tried.
fn body_for(method: &Method, path: &str) -> Value {
    let end = path.rsplit('/').next().unwrap();
    match (method.as_str(), end) {
        ("POST" | "PATCH", "instances" | "admin-tokens" | "links" | "{instance}") => {
            json!({"name": "x"})
        }
        ("POST", "publishes") => json!({"interests": ["a"], "fcm": {"data": {}}}),
        ("PUT", "apns") => emulated().0,
        ("PUT", "fcm") => emulated().1,
        ("POST", "webhooks") => {
            json!({"url": "https://example.com/hook", "secret": "a secret of some length"})
        }
        _ => json!({}),
    }
}

/// Credentials that look right.
fn emulated() -> (Value, Value) {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let config = emulator::Config::local(folder.path());
                let clock = std::sync::Arc::new(domain::clock::SystemClock);
                let emulators = emulator::start(config, clock).await.unwrap();
                emulators.stop().await;
            });
        });
        made.join().unwrap();
    });
    super::credentials::bodies(&folder)
}

#[tokio::test]
async fn the_log_of_an_instance_is_for_those_who_may_look_at_it() {
    let server = Server::start().await;
    let root = full(&server).await;
    let (mine, other) = (server.instance().await, server.instance().await);
    for instance in [&mine, &other] {
        let path = format!("/instances/{}", instance.id);
        call(&server, &root, Method::PATCH, &path, &json!({"name": "x"}))
            .await
            .ok();
    }
    let token = token_with(&server, for_one(mine.id, Right::Read)).await;
    let path = format!("/instances/{}/audit-log", mine.id);
    let page = read(&server, &token, &path).await.ok().json();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["action"], &entries[0]["subject"]),
        (&json!("instance.rename"), &json!("x"))
    );
    assert_eq!(page["nextCursor"], Value::Null);
    read(&server, &token, "/audit-log").await.refused(403);
    let all = read(&server, &root, "/audit-log").await.ok().json();
    let actors: BTreeSet<_> = all["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["actor"].to_string())
        .collect();
    assert_eq!(
        actors,
        BTreeSet::from(["\"command_line\"".to_owned(), "\"token\"".to_owned()])
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_keep_from_the_log_how_it_ended() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let name = InstanceName::parse("renamed").unwrap();
    let mut asked = Box::pin(instances::rename(
        server.app.admin(),
        &Actor::CommandLine,
        instance.id,
        name,
    ));
    assert!(poll!(&mut asked).is_pending());
    drop(asked);
    until("the entry says how it ended", async || {
        let filter = AuditFilter::default();
        let log = server.app.store().audit_page(filter, None, 1).await;
        let newest = log.unwrap().pop()?;
        assert_eq!(newest.entry.action, "instance.rename");
        (newest.outcome == AuditOutcome::Done).then_some(())
    })
    .await;
    let record = server.app.store().instance(instance.id).await.unwrap();
    assert_eq!(record.unwrap().name.as_str(), "renamed");
}

#[tokio::test]
async fn pages_lead_through_the_whole_log() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let path = format!("/instances/{}", instance.id);
    for number in 0..5 {
        let body = json!({"name": format!("name {number}")});
        call(&server, &root, Method::PATCH, &path, &body).await.ok();
    }
    let (mut subjects, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{path}/audit-log?limit=2{cursor}");
        let page = read(&server, &root, &path).await.ok().json();
        for entry in page["entries"].as_array().unwrap() {
            subjects.push(entry["subject"].as_str().unwrap().to_owned());
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(subjects, ["name 4", "name 3", "name 2", "name 1", "name 0"]);
    for bad in ["limit=0", "limit=501", "cursor=x"] {
        read(&server, &root, &format!("/audit-log?{bad}"))
            .await
            .refused(400);
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let keys = format!("/instances/{}/secret-keys", instance.id);
    let body = json!({"secretKey": "a-secret-that-is-never-shown"});
    call(&server, &root, Method::POST, &keys, &body).await.ok();
    let log = read(&server, &root, "/audit-log").await.ok();
    assert!(!log.body.contains("a-secret-that-is") && !log.body.contains(&root));
}
