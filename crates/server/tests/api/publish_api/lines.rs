//! Publishes as lines of JSON.

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;

use super::{accepted, call, devices_of, in_state, publishes};
use crate::support::{Instance, JSON, Reply, Server};

const FIRST: &str = r#"{"fcm":{"notification":{"title":"Hi {{ name }}"}}}"#;

async fn send(
    server: &Server,
    instance: &Instance,
    rest: &str,
    more: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Reply {
    let authorization = instance.authorization();
    let mut headers = vec![
        ("Content-Type", "application/x-ndjson; charset=utf-8"),
        ("Authorization", authorization.as_str()),
    ];
    headers.extend(more);
    let path = publishes(instance.id, rest);
    server.send(Method::POST, &path, &headers, body).await
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn what_is_wrong_names_the_line() {
    let server = Server::start_with(&[
        ("limits.listed_users_max", "3"),
        ("limits.listed_interests_max", "2"),
    ])
    .await;
    let instance = server.instance().await;
    let long = "x".repeat(40_000);
    let plain = r#"{"fcm":{"data":{"a":"b"}}}"#;
    for (rest, body, because) in [
        ("/users", String::new(), "JSON object"),
        ("/users", "[]\n\"a\"".into(), "JSON object"),
        (
            "/users",
            "{}\n\"a\"".into(),
            "at least one of apns, fcm, web",
        ),
        ("/users", FIRST.into(), "line 2: users are required"),
        (
            "/users",
            format!("{FIRST}\n\n\n"),
            "line 2: users are required",
        ),
        (
            "/users",
            format!("{FIRST}\n\"a\"\n\n7\n"),
            "line 4: it must be a string",
        ),
        (
            "/users",
            format!("{FIRST}\n\"a\"\n\"a\""),
            "line 3: the user stands",
        ),
        (
            "/users",
            format!("{FIRST}\n{{\"user\":\"\"}}"),
            "line 2: a user id",
        ),
        (
            "/users",
            format!("{FIRST}\n{{\"user\":\"a\",\"values\":{{\"b c\":1}}}}"),
            "line 2: `values`",
        ),
        (
            "/users",
            format!("{FIRST}\n\"a\"\n\"b\"\n\"c\"\n\"d\""),
            "line 5: a publish in lines has at most 3",
        ),
        (
            "/users",
            format!("{FIRST}\n\"{long}\"\n\"b\""),
            "line 2: it has more than",
        ),
        (
            "/users",
            format!("{}\n\"a\"", FIRST.replace("{{ name }}", "{{name")),
            "`fcm`: has `{{`",
        ),
        (
            "/users",
            format!("{{\"users\":[\"a\"],{}\n", &plain[1..]),
            "`users`: must not be in the first line",
        ),
        (
            "/interests",
            format!("{plain}\n\"a b\""),
            "line 2: an interest name",
        ),
        (
            "/interests",
            format!("{plain}\n\"a\"\n\"b\"\n\"c\""),
            "line 4: a publish in lines has at most 2",
        ),
        ("/interests", plain.into(), "line 2: interests are required"),
    ] {
        let reply = send(&server, &instance, rest, &[], body.clone()).await;
        let status = if because == "JSON object" { 400 } else { 422 };
        let (_, description) = reply.refused(status);
        assert!(description.contains(because), "{body}: {description}");
    }
    let listed = call(&server, &instance, Method::GET, "").await.ok().json();
    assert_eq!(listed["publishes"], json!([]), "nothing of them is left");
}

#[tokio::test]
async fn it_needs_a_key_and_its_content_type() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = format!("{FIRST}\n\"a\"");
    let path = publishes(instance.id, "/users");
    let authorization = instance.authorization();
    let lines = ("Content-Type", "application/x-ndjson");
    server
        .send(Method::POST, &path, &[lines], body.clone())
        .await
        .refused(400);
    let headers = [JSON, ("Authorization", authorization.as_str())];
    server
        .send(Method::POST, &path, &headers, body)
        .await
        .refused(400);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let server = Server::start_with(&[("limits.listed_bytes_max", "5000")]).await;
    let instance = server.instance().await;
    let body = (0..1000).fold(FIRST.to_owned(), |body, n| format!("{body}\n\"user-{n}\""));
    let reply = send(&server, &instance, "/users", &[], body).await;
    assert!(reply.refused(400).1.contains("5000"));
}

#[tokio::test]
async fn thousands_of_users_are_one_publish() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for user in ["user-7", "user-4999"] {
        devices_of(&server, &instance, user, 2).await;
    }
    let first = r#"{"fcm":{"notification":{"title":"Hi"}}}"#;
    let body = (0..5000).fold(first.to_owned(), |body, n| {
        format!("{body}\n{{\"user\":\"user-{n}\"}}")
    });
    // In pieces whose ends are not those of lines.
    let pieces: Vec<Result<_, std::io::Error>> = body
        .as_bytes()
        .chunks(777)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let pieces = reqwest::Body::wrap(StreamBody::new(stream::iter(pieces)));
    let key = [("Idempotency-Key", "k")];
    let id = accepted(send(&server, &instance, "/users", &key, pieces).await);
    let shown = in_state(&server, &instance, &id, "finished").await;
    assert!(shown.to_string().contains("no_credential"), "{shown}");

    let again = send(&server, &instance, "/users", &key, body.clone()).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(accepted(again), id);
    let other = body.replace("\"user-0\"", "\"user-x\"");
    send(&server, &instance, "/users", &key, other)
        .await
        .refused(422);
}

#[tokio::test]
async fn a_user_without_values_is_rejected_alone() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for user in ["ann", "bob", "eve"] {
        devices_of(&server, &instance, user, 1).await;
    }
    let long = "x".repeat(4000);
    let body = format!(
        "{FIRST}\n{{\"user\":\"ann\",\"values\":{{\"name\":\"Ann\"}}}}\n\"bob\"\n\
         {{\"user\":\"eve\",\"values\":{{\"name\":\"{long}\"}}}}\n"
    );
    let id = accepted(send(&server, &instance, "/users", &[], body).await);
    in_state(&server, &instance, &id, "finished").await;
    let rest = format!("/{id}/failures");
    let failures = call(&server, &instance, Method::GET, &rest)
        .await
        .ok()
        .json();
    let failures = failures["failures"].as_array().unwrap();
    let reason = |user: &str| {
        let found = failures.iter().find(|failure| failure["user"] == user);
        found.map(|failure| failure["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(
        reason("ann").as_deref(),
        Some("no_credential"),
        "{failures:?}"
    );
    assert_eq!(reason("bob").as_deref(), Some("missing_value"));
    assert_eq!(reason("eve").as_deref(), Some("payload_too_large"));
}

#[tokio::test]
async fn many_interests_are_one_publish() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let first = r#"{"fcm":{"notification":{"title":"Hi {{name}}"}}}"#;
    let body = (0..3000).fold(first.to_owned(), |body, n| format!("{body}\n\"i{n}\""));
    for rest in ["/interests", ""] {
        let id = accepted(send(&server, &instance, rest, &[], body.clone()).await);
        in_state(&server, &instance, &id, "finished").await;
    }
}

#[tokio::test]
async fn a_dry_run_counts() {
    let server = Server::start().await;
    let instance = server.instance().await;
    devices_of(&server, &instance, "ann", 2).await;
    let first = FIRST.replacen('{', r#"{"dryRun":true,"#, 1);
    let body = (0..2500).fold(format!("{first}\n\"ann\""), |body, n| {
        format!("{body}\n\"user-{n}\"")
    });
    let counted = send(&server, &instance, "/users", &[], body)
        .await
        .ok()
        .json();
    assert_eq!(
        counted,
        json!({"dryRun": true, "devices": {"fcm": 2}, "users": {"withDevices": 1, "withoutDevices": 2500}})
    );
    let listed = call(&server, &instance, Method::GET, "").await.ok().json();
    assert_eq!(listed["publishes"], json!([]));
}
