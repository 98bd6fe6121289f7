//! The secret key of one instance at another.

use http::Method;

use super::{call, devices_of, publish, show};
use crate::support::{JSON, Server, device_path};

const LATER: &str = r#"{"users":["alice"],"fcm":{"data":{}},"sendAt":"2026-01-02T00:00:00Z"}"#;

#[tokio::test]
async fn another_instances_secret_key_reaches_and_changes_nothing() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let [device] =
        <[String; 1]>::try_from(devices_of(&server, &instance, "alice", 1).await).unwrap();
    let scheduled = publish(&server, &instance, "/users", LATER).await.ok();
    let id = scheduled.json()["publishId"].as_str().unwrap().to_owned();
    let before = show(&server, &instance, &id).await;

    // Whatever a secret key may do: with the other's, at this instance.
    let authorization = other.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    let description = server.get("/openapi.json").await.ok().json();
    let mut tried = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            let proofs = call["security"].as_array();
            if !proofs.is_some_and(|all| all.iter().any(|one| one.get("secret_key").is_some())) {
                continue;
            }
            let path = path
                .replace("{instance}", &instance.id.to_string())
                .replace("{publish}", &id)
                .replace("{user}", "alice");
            assert!(!path.contains('{'), "{path}");
            let method: Method = method.to_uppercase().parse().unwrap();
            let reply = server.send(method.clone(), &path, &headers, LATER).await;
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.body);
            tried += 1;
        }
    }
    assert!(tried >= 9, "{tried}");

    // And at its own instance, with the name of what is this one's.
    for (method, rest) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::GET, "/failures"),
        (Method::POST, "/replay"),
    ] {
        let reply = call(&server, &other, method, &format!("/{id}{rest}")).await;
        reply.refused(404);
    }
    let listed = call(&server, &other, Method::GET, "").await.ok();
    assert!(!listed.body.contains(&id));
    let path = format!("/customer_api/v1/instances/{}/users/alice", other.id);
    server.send(Method::DELETE, &path, &headers, "").await.ok();

    assert_eq!(show(&server, &instance, &id).await, before);
    let listed = call(&server, &instance, Method::GET, "").await.ok().json();
    assert_eq!(listed["publishes"].as_array().unwrap().len(), 1);
    let shown = server.get(&device_path(&instance, &device)).await.ok();
    assert_eq!(shown.json()["userId"], "alice");
}
