//! `…/publishes`, read

use http::Method;
use serde_json::{Value, json};

use super::{accepted, call, publish};
use crate::support::{Instance, Server};

async fn list(server: &Server, instance: &Instance, query: &str) -> Value {
    let rest = format!("?{query}");
    call(server, instance, Method::GET, &rest).await.ok().json()
}

fn ids(page: &Value) -> Vec<String> {
    let publishes = page["publishes"].as_array().unwrap();
    let id = |one: &Value| one["publishId"].as_str().unwrap().to_owned();
    publishes.iter().map(id).collect()
}

#[tokio::test]
async fn what_is_asked_wrongly_is_400() {
    let server = Server::start().await;
    let instance = server.instance().await;
    const LIMIT: &str = "`limit` has to be a number from 1 to 100";
    for (query, told) in [
        ("status=lost", "`status` given is not valid"),
        ("cursor=x", "`cursor` given is not valid"),
        ("limit=0", LIMIT),
        ("limit=101", LIMIT),
        ("limit=-1", LIMIT),
    ] {
        let rest = format!("?{query}");
        let reply = call(&server, &instance, Method::GET, &rest).await;
        let (_, description) = reply.refused(400);
        assert_eq!(description, told);
    }
}

#[tokio::test]
async fn the_newest_first_and_each_once_while_more_come() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let body = r#"{"interests":["nobody"],"fcm":{"data":{}}}"#;
    accepted(publish(&server, &other, "/interests", body).await);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(accepted(
            publish(&server, &instance, "/interests", body).await,
        ));
    }
    made.reverse();
    let first = list(&server, &instance, "limit=2").await;
    assert_eq!(ids(&first), made[..2]);
    // What comes meanwhile is newer, and not behind the cursor.
    accepted(publish(&server, &instance, "/interests", body).await);
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = list(&server, &instance, &format!("cursor={cursor}")).await;
    assert_eq!(ids(&rest), made[2..]);
    assert!(rest["nextCursor"].is_null());
}

#[tokio::test]
async fn by_state() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = |more: Value| {
        let mut body = json!({"interests": ["nobody"], "fcm": {"data": {}}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let later = body(json!({"sendAt": "2026-02-01T00:00:00Z"}));
    let now = body(json!({}));
    let mut made = Vec::new();
    for body in [&later, &now, &later] {
        made.push(accepted(
            publish(&server, &instance, "/interests", body).await,
        ));
    }
    let rest = format!("/{}", made[2]);
    call(&server, &instance, Method::DELETE, &rest).await.ok();
    for (state, expected) in [
        ("scheduled", vec![made[0].clone()]),
        ("running", vec![]),
        ("finished", vec![made[1].clone()]),
        ("cancelled", vec![made[2].clone()]),
    ] {
        let page = list(&server, &instance, &format!("status={state}")).await;
        assert_eq!(ids(&page), expected, "{state}");
    }
    assert_eq!(ids(&list(&server, &instance, "").await).len(), 3);
}
