//! `/publish_api/v1/instances/{instance}/publishes…`

mod interests;
mod refusals;
mod users;

use domain::instance::InstanceId;
use http::Method;

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
