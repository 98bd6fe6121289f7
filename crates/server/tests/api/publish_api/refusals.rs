//! What all publishes are refused for, and in which order.

use http::Method;

use super::{publish, publishes};
use crate::support::{JSON, Server};

/// What is to be said of a request: status, `error`, and a part of `description`.
type Refusal = (u16, &'static str, &'static str);

const WRONG: (&str, &str) = ("Authorization", "Bearer WRONG");

async fn expect(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
    refusal: Refusal,
) {
    let (status, error, description) = refusal;
    let reply = server.send(Method::POST, path, headers, body).await;
    let texts = reply.refused(status);
    assert_eq!(texts.0, error, "{reply:?}");
    assert!(texts.1.contains(description), "{reply:?}");
}

/// Everything is wrong with the first request; then, from the front, less and less.
#[tokio::test]
async fn content_type_then_instance_then_key() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let no_json = (400, "Bad request", "Content-Type");
    let no_instance = (404, "Instance not found", "Could not find the instance");
    let no_key = (400, "Bad request", "Authorization");
    let wrong_key = (401, "Unauthorized", "Incorrect Secret Key");
    let bare = ("Authorization", "WRONG");
    for rest in ["", "/interests", "/users"] {
        let nonsense = format!("/publish_api/v1/instances/abe1212381f60/publishes{rest}");
        expect(
            &server,
            &nonsense,
            &[("Content-Type", "text/plain")],
            "",
            no_json,
        )
        .await;
        expect(&server, &nonsense, &[JSON], "", no_instance).await;
        let unknown = publishes(domain::instance::InstanceId::random(), rest);
        expect(&server, &unknown, &[JSON, WRONG], "", no_instance).await;
        let own = publishes(instance.id, rest);
        expect(&server, &own, &[JSON], "", no_key).await;
        expect(&server, &own, &[JSON, bare], "", no_key).await;
        expect(&server, &own, &[JSON, WRONG], "", wrong_key).await;
    }
}

#[tokio::test]
async fn then_the_body() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    let no_object = (400, "Bad request", "not a JSON object");
    let both = r#"{"interests":["hello"],"users":["alice"],"web":{"notification":{}}}"#;
    for rest in ["", "/interests", "/users"] {
        let own = publishes(instance.id, rest);
        expect(&server, &own, &headers, "", no_object).await;
        expect(&server, &own, &headers, "[]", no_object).await;
        expect(
            &server,
            &own,
            &headers,
            "{}",
            (422, "Bad Request", "is required"),
        )
        .await;
        expect(
            &server,
            &own,
            &headers,
            both,
            (422, "Bad Request", "cannot name"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_400() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let padded = |target: &str, length: usize| {
        format!(
            r#"{{{target},"web":{{"notification":{{"title":"x"}}}},"extra":"{}"}}"#,
            "x".repeat(length)
        )
    };
    let to_interests = r#""interests":["hello"]"#;
    let to_users = r#""users":["alice"]"#;
    publish(
        &server,
        &instance,
        "/interests",
        &padded(to_interests, 9_000),
    )
    .await
    .ok();
    publish(&server, &instance, "/users", &padded(to_users, 190_000))
        .await
        .ok();
    for (rest, target, length) in [
        ("", to_interests, 10_500),
        ("/interests", to_interests, 10_500),
        ("/interests", to_interests, 300_000),
        ("/users", to_users, 210_000),
        ("/users", to_users, 3_000_000),
    ] {
        let reply = publish(&server, &instance, rest, &padded(target, length)).await;
        assert!(reply.refused(400).1.contains("too large"));
    }
}

#[tokio::test]
async fn a_refused_publish_is_not_kept() {
    let server = Server::start().await;
    let instance = server.instance().await;
    publish(&server, &instance, "/users", "{}")
        .await
        .refused(422);
    let depth = server
        .app
        .store()
        .queue_depth(crate::support::NOW)
        .await
        .unwrap();
    assert_eq!(depth.jobs, 0);
}
