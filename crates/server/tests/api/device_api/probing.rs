//! Who does not know a device's id learns nothing of it and moves nothing of it, and nobody learns which users there are.
//!
//! What an answer says could also be told by how long it takes. There is nothing to measure here that a test could compare:
//! every id takes the same way. One that has no form of an id is turned away before the store; all others are one look into
//! an index by instance and id, and who is found there must have the platform of the path. A user is never looked for without a
//! Beams token for that very user.

use http::Method;
use serde_json::json;

use crate::support::{Instance, JSON, Reply, Server, beams_token, device_path, devices};

/// Every call that names a device: method, what is behind the device, body, and whether it wants a Beams token.
const CALLS: [(Method, &str, &str, bool); 8] = [
    (Method::GET, "", "", false),
    (Method::GET, "/interests", "", false),
    (
        Method::PUT,
        "/interests",
        r#"{"interests":["taken"]}"#,
        false,
    ),
    (Method::POST, "/interests/taken", "", false),
    (Method::DELETE, "/interests/news", "", false),
    (Method::PUT, "/metadata", r#"{"sdkVersion":"9"}"#, false),
    (Method::PUT, "/token", r#"{"token":"taken-over"}"#, false),
    (Method::PUT, "/user", "", true),
];

async fn call(server: &Server, index: usize, device: &str, token: &str) -> Reply {
    let (method, tail, body, with_token) = &CALLS[index];
    let authorization = format!("Bearer {token}");
    let mut headers = Vec::new();
    if !body.is_empty() {
        headers.push(JSON);
    }
    if *with_token {
        headers.push(("Authorization", authorization.as_str()));
    }
    let path = format!("{device}{tail}");
    server.send(method.clone(), &path, &headers, *body).await
}

/// What an answer tells: its status, its body, and the names of its headers.
fn told(reply: &Reply) -> (u16, String, Vec<String>) {
    let mut names: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (reply.status.as_u16(), reply.body.clone(), names)
}

/// An instance with a device that is bound and subscribed, and another instance beside it.
async fn stage() -> (Server, Instance, Instance, String) {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let id = server.fcm_device(&instance, "gateway-token").await;
    server.bind(&instance, &id, "alice").await.ok();
    let device = device_path(&instance, &id);
    server
        .post(&format!("{device}/interests/news"), "")
        .await
        .ok();
    (server, instance, other, id)
}

async fn state(server: &Server, device: &str) -> (serde_json::Value, serde_json::Value) {
    let shown = server.get(device).await.ok().json();
    let interests = server.get(&format!("{device}/interests")).await.ok().json();
    (shown, interests)
}

#[tokio::test]
async fn every_id_but_the_devices_own_is_answered_alike_and_changes_nothing() {
    let (server, instance, other, id) = stage().await;
    let device = device_path(&instance, &id);
    let before = state(&server, &device).await;
    let uuid = id.strip_prefix("fcm-").unwrap();
    let unknown = "9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    let mut near = uuid.to_owned();
    let last = if near.ends_with('0') { '1' } else { '0' };
    near.pop();
    near.push(last);
    let own = devices(&instance);
    let strangers = [
        // One that nobody has, and one that differs in a digit.
        format!("{own}/fcm/fcm-{unknown}"),
        format!("{own}/fcm/fcm-{near}"),
        // The device's own, but for what is around it.
        format!("{}/fcm/{id}", devices(&other)),
        format!("{own}/fcm/apns-{uuid}"),
        format!("{own}/fcm/web-{uuid}"),
        format!("{own}/fcm/{uuid}"),
        format!("{own}/fcm/fcm-{}", &uuid[..uuid.len() - 1]),
        format!("{own}/fcm/nonsense"),
    ];
    for (index, named) in CALLS.iter().enumerate() {
        let mut first = None;
        for stranger in &strangers {
            // The token is good wherever it is presented.
            let of = if stranger.contains(&other.id.to_string()) {
                &other
            } else {
                &instance
            };
            let token = beams_token(of, "mallory");
            let reply = call(&server, index, stranger, &token).await;
            reply.refused(404);
            let told = told(&reply);
            let same = first.get_or_insert_with(|| told.clone());
            assert_eq!(*same, told, "{named:?} {stranger}");
        }
    }
    for stranger in &strangers {
        server.delete(stranger).await.ok_and_empty();
    }
    assert_eq!(state(&server, &device).await, before);
}

#[tokio::test]
async fn who_cannot_prove_a_user_does_not_learn_which_devices_and_users_there_are() {
    let (server, instance, other, id) = stage().await;
    let unknown = "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    // A token of another instance, with the names of a user that is there and of one that is not.
    let mut first = None;
    for user in ["alice", "nobody"] {
        let token = format!("Bearer {}", beams_token(&other, user));
        for device in [id.as_str(), unknown] {
            let path = format!("{}/user", device_path(&instance, device));
            let headers = [("Authorization", token.as_str())];
            let reply = server.send(Method::PUT, &path, &headers, "").await;
            reply.refused(401);
            let told = told(&reply);
            let same = first.get_or_insert_with(|| told.clone());
            assert_eq!(*same, told, "{user} {device}");
        }
    }
    // Users, by who has no secret key, or another instance's.
    for authorization in [other.authorization(), "Bearer wrong".to_owned()] {
        let mut first = None;
        for user in ["alice", "nobody"] {
            let path = format!("/customer_api/v1/instances/{}/users/{user}", instance.id);
            let headers = [("Authorization", authorization.as_str())];
            let reply = server.send(Method::DELETE, &path, &headers, "").await;
            reply.refused(401);
            let same = first.get_or_insert_with(|| told(&reply));
            assert_eq!(*same, told(&reply), "{user}");
        }
    }
    // And by who has the right one: deleting a user that is not there is answered like one that is.
    let authorization = instance.authorization();
    for user in ["alice", "nobody", "alice"] {
        let path = format!("/customer_api/v1/instances/{}/users/{user}", instance.id);
        let headers = [("Authorization", authorization.as_str())];
        let reply = server.send(Method::DELETE, &path, &headers, "").await;
        reply.ok_and_empty();
    }
}

#[tokio::test]
async fn a_report_tells_nothing_of_devices_or_users() {
    let (server, instance, _, id) = stage().await;
    let path = format!("/reporting_api/v2/instances/{}/events", instance.id);
    let mut first = None;
    for (device, user) in [
        (id.as_str(), "alice"),
        (id.as_str(), "nobody"),
        ("fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac", "alice"),
    ] {
        let body = json!({
            "event": "Delivery",
            "publishId": "pubid-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac",
            "deviceId": device,
            "userId": user,
            "timestampSecs": 1_767_225_600,
        });
        let reply = server.post(&path, &body.to_string()).await;
        let told = told(&reply);
        let same = first.get_or_insert_with(|| told.clone());
        assert_eq!(*same, told, "{device} {user}");
    }
}
