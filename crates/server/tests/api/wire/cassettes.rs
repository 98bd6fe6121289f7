//! The exchanges with Beams' own servers that the Ruby SDK's test suite recorded: the same requests get the same answers.

use domain::instance::{InstanceId, SecretKey};
use domain::publish::PublishId;

use super::replay;
use crate::support::{Instance, RawReply, Server};

const INSTANCE: &str = "f9b6dd5e-5b1d-4f3c-8a3b-0f6d1b5a2c11";
const KEY: &str = "CF3D1B2A4E5F60718293A4B5C6D7E8F";

async fn server() -> (Server, Instance) {
    let server = Server::start().await;
    let (id, key) = (
        InstanceId::parse(INSTANCE).unwrap(),
        SecretKey::parse(KEY).unwrap(),
    );
    let instance = server.instance_with(id, key).await;
    (server, instance)
}

/// A request with the headers that the Ruby SDK always sends.
async fn ruby(server: &Server, line: &str, key: &str, body: &str) -> RawReply {
    let head = format!(
        "{line} HTTP/1.1
        Content-Type: application/json
        Accept: application/json
        Authorization: Bearer {key}
        X-Pusher-Library: pusher-push-notifications-ruby 2.0.3
        Content-Length: *
        User-Agent: rest-client/2.1.0 (linux x86_64) ruby/3.3.0
        Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3
        Host: {INSTANCE}.pushnotifications.pusher.com"
    );
    replay(server, &head, body).await
}

#[track_caller]
fn said(reply: &RawReply, status: u16, error: &str, description: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert!(reply.body.starts_with(r#"{"error":"#), "{reply:?}");
    assert_eq!(
        json,
        serde_json::json!({"error": error, "description": description})
    );
    assert!(reply.body.ends_with('\n'));
}

#[tokio::test]
async fn publishes_wrong_secret_key() {
    let (server, _) = server().await;
    let line = format!("POST /publish_api/v1/instances/{INSTANCE}/publishes/interests");
    let body = r#"{"interests":["hello"],"apns":{"aps":{"alert":{"title":"Hello","body":"Hello, world!"}}}}"#;
    let reply = ruby(&server, &line, "wrong-secret-key", body).await;
    said(&reply, 401, "Unauthorized", "Incorrect Secret Key");
}

#[tokio::test]
async fn publishes_instance_id_that_is_no_uuid() {
    let (server, _) = server().await;
    let line = "POST /publish_api/v1/instances/abe1212381f60/publishes/interests";
    let reply = ruby(&server, line, KEY, r#"{"interests":["hello"],"apns":{}}"#).await;
    said(
        &reply,
        404,
        "Instance not found",
        "Could not find the instance",
    );
}

#[tokio::test]
async fn publishes_without_an_audience() {
    let (server, _) = server().await;
    let body = r#"{"apns":{"aps":{"alert":{"title":"Hello","body":"Hello, world!"}}}}"#;
    for (rest, description) in [
        ("/interests", "`interests`: interests is required"),
        ("", "`interests`: interests is required"),
        ("/users", "`users`: users is required"),
    ] {
        let line = format!("POST /publish_api/v1/instances/{INSTANCE}/publishes{rest}");
        said(
            &ruby(&server, &line, KEY, body).await,
            422,
            "Bad Request",
            description,
        );
    }
}

#[tokio::test]
async fn publishes_accepted() {
    let (server, _) = server().await;
    for (rest, audience) in [
        ("/interests", r#""interests":["hello"]"#),
        ("", r#""interests":["hello"]"#),
        ("/users", r#""users":["jonathan","jordan"]"#),
    ] {
        let line = format!("POST /publish_api/v1/instances/{INSTANCE}/publishes{rest}");
        let body = format!(
            r#"{{{audience},"apns":{{"aps":{{"alert":{{"title":"Hello","body":"Hello, world!"}}}}}},"fcm":{{"notification":{{"title":"Hello","body":"Hello, world!"}}}}}}"#
        );
        let reply = ruby(&server, &line, KEY, &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let id = reply
            .body
            .strip_prefix(r#"{"publishId":""#)
            .and_then(|rest| rest.strip_suffix("\"}\n"));
        assert!(PublishId::parse(id.unwrap()).is_some(), "{reply:?}");
    }
}

#[tokio::test]
async fn delete_a_user_that_never_was() {
    let (server, _) = server().await;
    let line = format!("DELETE /customer_api/v1/instances/{INSTANCE}/users/Stop!'+said+Fred+user");
    let reply = ruby(&server, &line, KEY, "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
}

#[tokio::test]
async fn delete_a_user_with_too_long_an_id() {
    let (server, _) = server().await;
    let line = format!(
        "DELETE /customer_api/v1/instances/{INSTANCE}/users/{}",
        "a".repeat(165)
    );
    let reply = ruby(&server, &line, KEY, "").await;
    said(
        &reply,
        400,
        "Bad request",
        "'User id' is too long, max length is 164",
    );
}

#[tokio::test]
async fn delete_nobody() {
    let (server, _) = server().await;
    let line = format!("DELETE /customer_api/v1/instances/{INSTANCE}/users/");
    let reply = ruby(&server, &line, KEY, "").await;
    // Beams' own answer is a plain text, which other SDKs cannot read.
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("content-type"), Some("application/json"));
}
