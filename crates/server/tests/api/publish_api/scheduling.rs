//! `sendAt` and `expiresAt` of publishes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{accepted, devices_of, in_state, publish, show};
use crate::support::Server;

fn body(more: &Value) -> String {
    let mut body = json!({"users": ["alice"], "fcm": {"data": {}}});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn times_that_make_no_sense_are_422() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for (wrong, because) in [
        (json!({"sendAt": "tomorrow"}), "`sendAt`: must be a time"),
        (json!({"sendAt": 1}), "`sendAt`: must be a time"),
        (json!({"sendAt": "2027-01-02T00:00:01Z"}), "366 days"),
        (
            json!({"expiresAt": "2026-01-01T00:00:00Z"}),
            "`expiresAt`: is in the past",
        ),
        (
            json!({"sendAt": "2026-01-02T00:00:00Z", "expiresAt": "2026-01-01T12:00:00Z"}),
            "later than sendAt",
        ),
    ] {
        let reply = publish(&server, &instance, "/users", &body(&wrong)).await;
        let (_, description) = reply.refused(422);
        assert!(description.contains(because), "{wrong}: {description}");
    }
}

#[tokio::test]
async fn a_past_time_is_now() {
    let server = Server::start().await;
    let instance = server.instance().await;
    devices_of(&server, &instance, "alice", 1).await;
    let past = body(&json!({"sendAt": "2025-12-31T23:59:59+00:00"}));
    let id = accepted(publish(&server, &instance, "/users", &past).await);
    let shown = in_state(&server, &instance, &id, "finished").await;
    assert_eq!(shown["sendAt"], shown["acceptedAt"]);
}

#[tokio::test]
async fn a_scheduled_publish_waits_through_a_restart_and_goes_to_who_is_there_then() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let later = body(&json!({"sendAt": "2026-01-01T02:00:00+01:00"}));
    let id = accepted(publish(&server, &instance, "/users", &later).await);
    let server = server.restart().await;
    let shown = show(&server, &instance, &id).await;
    assert_eq!(shown["state"], "scheduled");
    assert_eq!(shown["sendAt"], "2026-01-01T01:00:00Z");
    assert_eq!(shown["users"], json!([]));
    devices_of(&server, &instance, "alice", 2).await;
    server.clock.advance(Duration::from_secs(60 * 60 - 1));
    assert_eq!(show(&server, &instance, &id).await["state"], "scheduled");
    server.clock.advance(Duration::from_secs(1));
    let shown = in_state(&server, &instance, &id, "finished").await;
    assert_eq!(shown["users"][0]["failed"], 2, "{shown}");
}

#[tokio::test]
async fn nothing_is_sent_after_the_end() {
    let server = Server::start().await;
    let instance = server.instance().await;
    devices_of(&server, &instance, "alice", 1).await;
    let times = json!({"sendAt": "2026-01-01T01:00:00Z", "expiresAt": "2026-01-01T02:00:00Z"});
    let id = accepted(publish(&server, &instance, "/users", &body(&times)).await);
    // As if nobody had been there to send it.
    server.clock.advance(Duration::from_secs(3 * 60 * 60));
    let shown = in_state(&server, &instance, &id, "finished").await;
    assert_eq!(shown["expiresAt"], "2026-01-01T02:00:00Z");
    let outcomes: Vec<_> = shown["tallies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["outcome"])
        .collect();
    assert_eq!(outcomes, ["expired"], "{shown}");
}
