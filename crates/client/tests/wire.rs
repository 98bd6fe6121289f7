//! What the client sends, and what it makes of every answer, against a server of a few lines.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use heliostat_client::{Client, ClientBuilder, Error, Refusal, ValidationError};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

const INSTANCE: &str = "3F1B8F8E-6d5c-4f5e-9c53-5d0a4f6a3c11";
const PUBLISHED: &str = r#"{"publishId":"pubid-7f3a1c2e-52b5-4e0b-9a3f-0f6f4a1b2c3d"}"#;

fn builder(address: SocketAddr) -> ClientBuilder {
    Client::builder(INSTANCE, "hunter2").base_url(format!("http://{address}"))
}

fn payload() -> Value {
    json!({"fcm": {"notification": {"title": "t"}}})
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Reads one request and gives one answer. What it read: the head, and the body.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: &str,
) -> (String, String) {
    let mut seen = Vec::new();
    let (head, length) = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the client hung up");
        seen.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8(seen.clone()).unwrap();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let head = head.to_owned();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            break (head, length.unwrap_or(0));
        }
    };
    let body_from = head.len() + 4;
    while seen.len() < body_from + length {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        seen.extend_from_slice(&chunk[..read]);
    }
    stream.write_all(reply.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
    (head, String::from_utf8(seen[body_from..].to_vec()).unwrap())
}

/// Serves one connection while `call` runs.
async fn serving<T>(
    reply: String,
    call: impl AsyncFnOnce(Client) -> Result<T, Error>,
) -> (String, String, Result<T, Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = builder(listener.local_addr().unwrap()).build().unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        converse(stream, &reply).await
    };
    let ((head, body), result) = tokio::join!(server, call(client));
    (head, body, result)
}

async fn publish_answered(reply: String) -> Error {
    let call = async |client: Client| client.publish_to_users(&["u"], &payload()).await;
    serving(reply, call).await.2.unwrap_err()
}

#[tokio::test]
async fn publishes_to_interests() {
    let call = async |client: Client| client.publish_to_interests(&["a", "b"], &payload()).await;
    let (head, body, result) = serving(reply("200 OK", "", PUBLISHED), call).await;
    assert_eq!(
        result.unwrap().to_string(),
        "pubid-7f3a1c2e-52b5-4e0b-9a3f-0f6f4a1b2c3d"
    );
    let mut lines = head.lines();
    assert_eq!(
        lines.next().unwrap(),
        "POST /publish_api/v1/instances/3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11/publishes/interests HTTP/1.1"
    );
    let lines: Vec<&str> = lines.collect();
    let library = format!(
        "x-pusher-library: heliostat-client-rust {}",
        env!("CARGO_PKG_VERSION")
    );
    for wanted in [
        "authorization: Bearer hunter2",
        "content-type: application/json",
        &library,
    ] {
        assert!(lines.contains(&wanted), "{wanted} is missing: {lines:?}");
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        json!({"interests": ["a", "b"], "fcm": {"notification": {"title": "t"}}})
    );
}

#[tokio::test]
async fn publishes_to_users() {
    // The real service answers text/plain.
    let answer = reply(
        "200 OK",
        "content-type: text/plain; charset=utf-8\r\n",
        PUBLISHED,
    );
    let call = async |client: Client| client.publish_to_users(&["ålice"], &payload()).await;
    let (head, body, result) = serving(answer, call).await;
    result.unwrap();
    assert!(head.contains("/publishes/users HTTP/1.1"), "{head}");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["users"],
        json!(["ålice"])
    );
}

#[tokio::test]
async fn deletes_a_user_of_any_name() {
    let call = async |client: Client| client.delete_user("a+b c/å?#%41.~'").await;
    let (head, body, result) = serving(reply("200 OK", "", ""), call).await;
    result.unwrap();
    assert_eq!(
        head.lines().next().unwrap(),
        "DELETE /customer_api/v1/instances/3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11/users/\
         a%2Bb%20c%2F%C3%A5%3F%23%2541.~%27 HTTP/1.1"
    );
    assert_eq!(body, "");
}

#[tokio::test]
async fn what_breaks_a_rule_is_not_sent() {
    // Nobody listens there: a request would be a transport error.
    let client = builder("127.0.0.1:1".parse().unwrap()).build().unwrap();
    let no_names: [&str; 0] = [];
    let errors = [
        client
            .publish_to_interests(&no_names, &payload())
            .await
            .map(drop),
        client
            .publish_to_users(&["x".repeat(165)], &payload())
            .await
            .map(drop),
        client.publish_to_users(&["u"], "no object").await.map(drop),
        client.delete_user("").await,
        client.delete_user("..").await,
        client.generate_token("").map(drop),
    ];
    for error in errors {
        assert!(matches!(error, Err(Error::Validation(_))), "{error:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let refusal = |status: &str| {
        reply(
            status,
            "retry-after: 7\r\n",
            r#"{"error":"Kind","description":"What is wrong"}"#,
        )
    };
    let said = |status| Refusal {
        status,
        error: "Kind".into(),
        description: "What is wrong".into(),
    };
    for (status, code) in [("401 Unauthorized", 401), ("403 Forbidden", 403)] {
        let error = publish_answered(refusal(status)).await;
        assert!(
            matches!(&error, Error::Auth(refusal) if *refusal == said(code)),
            "{error:?}"
        );
    }
    let error = publish_answered(refusal("404 Not Found")).await;
    assert!(
        matches!(&error, Error::InstanceNotFound(refusal) if *refusal == said(404)),
        "{error:?}"
    );
    let error = publish_answered(refusal("429 Too Many Requests")).await;
    let Error::TooManyRequests {
        retry_after,
        refusal: seen,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (retry_after, seen),
        (Some(Duration::from_secs(7)), said(429))
    );
    for (status, code) in [
        ("400 Bad Request", 400),
        ("402 Payment Required", 402),
        ("422 X", 422),
    ] {
        let error = publish_answered(refusal(status)).await;
        assert!(
            matches!(&error, Error::Refused(refusal) if *refusal == said(code)),
            "{error:?}"
        );
    }
    let error = publish_answered(refusal("500 Internal Server Error")).await;
    assert!(
        matches!(&error, Error::Server(refusal) if *refusal == said(500)),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "the server failed: Kind: What is wrong (status 500)"
    );
}

#[tokio::test]
async fn a_proxy_speaks_in_its_own_words() {
    let error = publish_answered(reply("503 Service Unavailable", "", "<h1>503</h1>")).await;
    assert!(
        matches!(&error, Error::Server(refusal) if refusal.status == 503),
        "{error:?}"
    );
    let late = "retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n";
    let error = publish_answered(reply("429 Too Many Requests", late, "")).await;
    assert!(
        matches!(
            &error,
            Error::TooManyRequests {
                retry_after: None,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn strangers_are_recognised() {
    let cases = [
        reply("200 OK", "", "<html>hello</html>"),
        reply("200 OK", "", r#"{"publishId":"42"}"#),
        reply(
            "404 Not Found",
            "content-type: text/plain\r\n",
            "404 page not found\n",
        ),
        // The secret key must not follow a redirect.
        reply(
            "307 Temporary Redirect",
            "location: http://127.0.0.1:1/\r\n",
            "",
        ),
        reply("200 OK", "", &" ".repeat(65 * 1024)),
    ];
    for case in cases {
        let error = publish_answered(case).await;
        assert!(matches!(error, Error::UnexpectedAnswer { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn no_answer_is_a_transport_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Accepted by the kernel, never answered.
    let client = builder(address)
        .timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let error = client.delete_user("secret-person").await.unwrap_err();
    assert!(
        matches!(error, Error::Transport { .. }) && !error.is_connect(),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!("no answer from http://{address}: it took too long")
    );
    assert!(!format!("{error:?}").contains("secret-person"));

    drop(listener);
    let client = builder(address).build().unwrap();
    let error = client.delete_user("u").await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn https_trusts_the_extra_root_and_nobody_else() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = key.cert.pem();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            key.signing_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let builder =
        Client::builder(INSTANCE, "hunter2").base_url(format!("https://localhost:{port}"));

    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(
            acceptor.accept(stream).await.is_err(),
            "the client should have hung up"
        );
        let (stream, _) = listener.accept().await.unwrap();
        converse(
            acceptor.accept(stream).await.unwrap(),
            &reply("200 OK", "", ""),
        )
        .await;
    };
    let client = async {
        let error = builder
            .clone()
            .build()
            .unwrap()
            .delete_user("u")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Transport { .. }), "{error:?}");
        assert!(error.to_string().contains("certificate"), "{error}");
        let client = builder.clone().extra_root_ca_pem(pem).build().unwrap();
        client.delete_user("u").await.unwrap();
    };
    tokio::join!(server, client);
}

#[test]
fn a_client_can_be_made_and_used_for_tokens_outside_of_a_runtime() {
    let client = Client::new(INSTANCE, "hunter2").unwrap();
    assert_eq!(client.instance_id(), INSTANCE.to_lowercase());
    assert_eq!(
        client
            .generate_token("u")
            .unwrap()
            .as_str()
            .split('.')
            .count(),
        3
    );
    let error = Client::new("nonsense", "hunter2").unwrap_err();
    assert!(matches!(
        error,
        Error::Validation(ValidationError::InstanceId(_))
    ));
}
