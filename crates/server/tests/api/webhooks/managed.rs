//! Webhooks as somebody with an admin token manages them.

use std::collections::BTreeSet;

use domain::admin_token::{Reach, Right, Scope};
use domain::webhook::{Scheme, WebhookSecret};
use http::Method;
use serde_json::{Value, json};

use super::LOOPBACK;
use super::receiver::{Kind, Receiver, until};
use crate::admin_api::{call, full, read, token_with};
use crate::support::Server;

async fn post(server: &Server, token: &str, path: &str, body: &Value) -> Value {
    let reply = call(server, token, Method::POST, path, body).await;
    reply.ok().json()
}

/// The newest delivery of a webhook, once it is delivered.
async fn delivered(server: &Server, token: &str, webhook: &str) -> Value {
    until("the delivery has its end", async || {
        let path = format!("{webhook}/deliveries");
        let page = read(server, token, &path).await.ok().json();
        let one = &page["deliveries"][0];
        (one["state"] == "delivered").then(|| one.clone())
    })
    .await
}

#[tokio::test]
async fn a_token_adds_tries_repeats_and_removes_one() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    let token = full(&server).await;
    let all = format!("/instances/{}/webhooks", instance.id);
    let body = json!({
        "url": receiver.url("/ok"), "events": ["v1.DeviceRegistered"], "customData": {"app": "shop"}
    });
    let added = post(&server, &token, &all, &body).await;
    let secret = added["secret"].as_str().unwrap();
    let webhook = format!("{all}/{}", added["id"].as_str().unwrap());
    let listed = read(&server, &token, &all).await.ok();
    assert!(!listed.body.contains(secret), "shown once");
    let listed = &listed.json()["webhooks"][0];
    assert_eq!(
        (&listed["id"], &listed["state"]),
        (&added["id"], &json!("enabled"))
    );

    let test = post(&server, &token, &format!("{webhook}/test"), &json!({})).await;
    let told = receiver.next("/ok").await;
    assert_eq!(told.header("webhook-request-id-uuid"), test["delivery"]);
    let key = WebhookSecret::parse(Scheme::Beams, secret).unwrap();
    assert_eq!(told.header("webhook-signature"), key.sign_beams(&told.body));
    assert_eq!(told.json()["custom_data"], json!({"app": "shop"}));
    let delivery = delivered(&server, &token, &webhook).await;
    assert_eq!(
        (&delivery["id"], &delivery["status"]),
        (&test["delivery"], &json!(200))
    );

    let replay = format!(
        "{webhook}/deliveries/{}/replay",
        delivery["id"].as_str().unwrap()
    );
    post(&server, &token, &replay, &json!({})).await;
    let again = receiver.next("/ok").await;
    assert_eq!(again.header("webhook-request-id-uuid"), test["delivery"]);

    post(&server, &token, &format!("{webhook}/disable"), &json!({})).await;
    let refused = call(
        &server,
        &token,
        Method::POST,
        &format!("{webhook}/test"),
        &json!({}),
    )
    .await;
    refused.refused(409);
    server.fcm_device(&instance, "missed").await;
    post(&server, &token, &format!("{webhook}/enable"), &json!({})).await;
    let device = server.fcm_device(&instance, "token").await;
    assert_eq!(
        receiver.next("/ok").await.json()["payload"]["device_id"],
        device
    );

    let removed = call(&server, &token, Method::DELETE, &webhook, &Value::Null).await;
    removed.ok();
    let left = read(&server, &token, &all).await.ok().json();
    assert_eq!(left["webhooks"], json!([]));
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let scope = |right| Scope {
        reach: Reach::Some(BTreeSet::from([instance.id])),
        right,
    };
    let reader = token_with(&server, scope(Right::Read)).await;
    let writer = token_with(&server, scope(Right::Write)).await;
    let mine = format!("/instances/{}/webhooks", instance.id);
    let theirs = format!("/instances/{}/webhooks", other.id);
    let body = json!({"url": "https://app.example/hook"});
    for (token, path) in [(&reader, &mine), (&writer, &theirs)] {
        let refused = call(&server, token, Method::POST, path, &body).await;
        refused.refused(403);
    }
    read(&server, &writer, &theirs).await.refused(403);
    post(&server, &writer, &mine, &body).await;
    let listed = read(&server, &reader, &mine).await.ok().json();
    assert_eq!(listed["webhooks"].as_array().unwrap().len(), 1);
    let added = server.app.store().webhooks(other.id).await.unwrap();
    assert!(added.is_empty());
}

#[tokio::test]
async fn one_is_changed_and_keeps_its_id_and_secret() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let token = full(&server).await;
    let all = format!("/instances/{}/webhooks", instance.id);
    let body = json!({"url": receiver.url("/redirect"), "events": ["v1.DeviceBound"]});
    let added = post(&server, &token, &all, &body).await;
    let id = added["id"].as_str().unwrap();
    let webhook = format!("{all}/{id}");
    let patch =
        async |path: &str, body: Value| call(&server, &token, Method::PATCH, path, &body).await;
    for (bad, field) in [
        (json!({"url": "https://10.0.0.1/"}), "url"),
        (json!({"url": "nothing"}), "url"),
        (json!({"events": []}), "events"),
        (json!({"events": ["v1.Test"]}), "events"),
        (json!({"events": "v1.DeviceBound"}), "events"),
        (json!({"customData": []}), "customData"),
    ] {
        let (_, why) = patch(&webhook, bad).await.refused(400);
        assert!(why.contains(field), "{why}");
    }
    let elsewhere = format!("/instances/{}/webhooks/{id}", other.id);
    patch(&elsewhere, json!({})).await.refused(404);
    let before = read(&server, &token, &webhook).await.ok().json();
    assert_eq!(patch(&webhook, json!({})).await.ok().json(), before);
    let change = json!({
        "url": receiver.url("/ok"), "events": ["v1.DeviceRegistered"], "customData": {"app": "shop"}
    });
    let after = patch(&webhook, change.clone()).await.ok().json();
    for name in ["url", "events", "customData"] {
        assert_eq!(after[name], change[name], "{name}");
    }
    for name in ["id", "scheme", "createdAt", "state"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    server.fcm_device(&instance, "token").await;
    let told = receiver.next("/ok").await;
    let key = WebhookSecret::parse(Scheme::Beams, added["secret"].as_str().unwrap()).unwrap();
    assert_eq!(told.header("webhook-signature"), key.sign_beams(&told.body));
    assert_eq!(told.json()["custom_data"], change["customData"]);
}

#[tokio::test]
async fn what_was_told_in_vain_is_seen_and_told_again() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    let token = full(&server).await;
    let all = format!("/instances/{}/webhooks", instance.id);
    let body = json!({"url": receiver.url("/redirect"), "events": ["v1.DeviceRegistered"]});
    let added = post(&server, &token, &all, &body).await;
    let webhook = format!("{all}/{}", added["id"].as_str().unwrap());
    for number in 0..3 {
        server
            .fcm_device(&instance, &format!("token-{number}"))
            .await;
        receiver.next("/redirect").await;
    }
    // Disabled, it gives up what waits.
    post(&server, &token, &format!("{webhook}/disable"), &json!({})).await;
    let again = format!("{webhook}/replay-failed");
    call(&server, &token, Method::POST, &again, &json!({}))
        .await
        .refused(409);
    let failed = until("all are given up", async || {
        let path = format!("{webhook}/deliveries?state=failed");
        let page = read(&server, &token, &path).await.ok().json();
        let found = page["deliveries"].as_array().unwrap().clone();
        (found.len() == 3).then_some(found)
    })
    .await;
    for delivery in &failed {
        let path = format!("{webhook}/deliveries/{}", delivery["id"].as_str().unwrap());
        let shown = read(&server, &token, &path).await.ok().json();
        assert_eq!(&shown, delivery);
        let tried = &shown["tries"][0];
        assert_eq!(tried["status"], 302, "{shown}");
        assert_eq!(tried["error"], "status_302");
    }
    for stranger in ["x", "00000000-0000-4000-8000-000000000000"] {
        let path = format!("{webhook}/deliveries/{stranger}");
        read(&server, &token, &path).await.refused(404);
    }
    let repaired = json!({"url": receiver.url("/ok")});
    let reply = call(&server, &token, Method::PATCH, &webhook, &repaired).await;
    reply.ok();
    post(&server, &token, &format!("{webhook}/enable"), &json!({})).await;
    let replayed = post(&server, &token, &again, &json!({})).await;
    assert_eq!(replayed, json!({"replayed": 3, "more": false}));
    let mut came = BTreeSet::new();
    for _ in 0..3 {
        let told = receiver.next("/ok").await;
        came.insert(told.header("webhook-request-id-uuid").to_owned());
    }
    let ids = failed
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned());
    assert_eq!(came, ids.collect(), "with the ids that they had");
    let replayed = post(&server, &token, &again, &json!({})).await;
    assert_eq!(replayed["replayed"], 0);
}
