//! `/publish_api/v1/instances/{instance}/publishes…`

mod documented;
mod dry_run;
mod elsewhere;
mod failures;
mod idempotency;
mod interests;
mod lines;
mod list;
mod one;
mod refusals;
mod replay;
mod scheduling;
mod users;

use std::time::Duration;

use domain::instance::InstanceId;
use http::Method;
use serde_json::Value;

use crate::support::{Instance, JSON, Reply, Server};

/// `…/publishes` and what comes behind it.
fn publishes(instance: InstanceId, rest: &str) -> String {
    format!("/publish_api/v1/instances/{instance}/publishes{rest}")
}

async fn publish(server: &Server, instance: &Instance, rest: &str, body: &str) -> Reply {
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    server
        .send(
            Method::POST,
            &publishes(instance.id, rest),
            &headers,
            body.to_owned(),
        )
        .await
}

/// Any other call with the secret key.
async fn call(server: &Server, instance: &Instance, method: Method, rest: &str) -> Reply {
    let authorization = instance.authorization();
    let headers = [("Authorization", authorization.as_str())];
    let path = publishes(instance.id, rest);
    server.send(method, &path, &headers, "").await
}

async fn show(server: &Server, instance: &Instance, id: &str) -> Value {
    let rest = format!("/{id}");
    call(server, instance, Method::GET, &rest).await.ok().json()
}

/// What is told of a publish once it is in this state.
async fn in_state(server: &Server, instance: &Instance, id: &str, state: &str) -> Value {
    let waiting = async {
        loop {
            let shown = show(server, instance, id).await;
            if shown["state"] == state {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, waiting).await.unwrap()
}

/// Android devices of a user. The instance has no credential for FCM, so all that is sent to them fails.
async fn devices_of(server: &Server, instance: &Instance, user: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let id = server
            .fcm_device(instance, &format!("{user}-{number}"))
            .await;
        server.bind(instance, &id, user).await.ok();
        ids.push(id);
    }
    ids
}

/// The answer to an accepted publish. Gives its id.
#[track_caller]
fn accepted(reply: Reply) -> String {
    let reply = reply.ok();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.body.ends_with("}\n"));
    let json = reply.json();
    assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
    let id = json["publishId"].as_str().unwrap().to_owned();
    assert!(domain::publish::PublishId::parse(&id).is_some(), "{id}");
    id
}
