//! Connections: protocols, limits, and what happens to them when the server stops.

mod floods;
mod memory;
mod renewal;
mod tls;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, exchange_over};

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads until the other side closes.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    // A reset is an end as well.
    let _ = ended.expect("the server never closed the connection");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn http_2_by_prior_knowledge() {
    let server = Server::start().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("http://{}/healthz", server.app.local_addr());
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_connection_that_never_says_a_word_is_closed() {
    let server = Server::start_with(&[
        ("limits.idle_timeout_secs", "1"),
        ("limits.header_timeout_secs", "1"),
    ])
    .await;
    for begun in [
        "",
        "PRI * HT",
        "GET /healthz HT",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n",
    ] {
        let mut stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(to_the_end(&mut stream).await, "", "{begun:?}");
    }
}

#[tokio::test]
async fn each_wait_has_a_limit_of_its_own() {
    // A head that has begun is not waited for as long as a connection may idle, nor the other way round.
    let heads = [
        ("limits.idle_timeout_secs", "600"),
        ("limits.header_timeout_secs", "1"),
    ];
    let idle = [
        ("limits.idle_timeout_secs", "1"),
        ("limits.header_timeout_secs", "600"),
    ];
    let half = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    for (settings, begun) in [(heads, half), (idle, ""), (idle, "PRI * HT")] {
        let server = Server::start_with(&settings).await;
        let mut stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(to_the_end(&mut stream).await, "", "{begun:?}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let server = Server::start_with(&[("limits.header_bytes_max", "8192")]).await;
    for (length, status) in [(4000, 200), (9000, 431)] {
        let mut stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
        let field = "x".repeat(length);
        let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {field}\r\n\r\n");
        let reply = exchange_over(&mut stream, &request).await;
        assert_eq!(reply.status, status, "{length}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up_with_an_answer() {
    let server = Server::start_with(&[("limits.request_timeout_secs", "1")]).await;
    let instance = server.instance().await;
    let mut stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
    let request = format!(
        "POST /device_api/v1/instances/{}/devices/fcm HTTP/1.1\r\nHost: x\r\n\
         Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{",
        instance.id
    );
    let reply = exchange_over(&mut stream, &request).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert!(reply.body.contains("too long"), "{reply:?}");
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_for_their_turn() {
    let server = Server::start_with(&[("limits.connections_max", "1")]).await;
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(server.app.local_addr()).await.unwrap();
    assert_eq!(exchange_over(&mut first, request).await.status, 200);
    let mut second = TcpStream::connect(server.app.local_addr()).await.unwrap();
    let waiting = exchange_over(&mut second, request);
    tokio::pin!(waiting);
    // The first connection is answered while the second is not: it holds the one place.
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("two connections at once"),
        reply = exchange_over(&mut first, request) => assert_eq!(reply.status, 200),
    }
    drop(first);
    assert_eq!(
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_takes_nothing_new() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let address = server.app.local_addr();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(exchange_over(&mut idle, health).await.status, 200);

    // Half a request is in flight; its other half comes after the stop began.
    let mut busy = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /device_api/v1/instances/{}/devices/fcm HTTP/1.1\r\nHost: x\r\n\
         Content-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n",
        instance.id
    );
    // The server asks for the body once a handler wants it, so the request is in flight from here on.
    assert_eq!(exchange_over(&mut busy, &head).await.status, 100);
    let mut stopping = tokio::task::JoinSet::new();
    stopping.spawn(server.app.stop());
    assert_eq!(to_the_end(&mut idle).await, "");
    assert!(stopping.try_join_next().is_none());
    busy.write_all(br#"{"token":"t"}"#).await.unwrap();
    let answer = to_the_end(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stopped = tokio::time::timeout(PATIENCE, stopping.join_next());
    stopped.await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_when_the_grace_is_over() {
    let server = Server::start_with(&[("shutdown.grace_secs", "1")]).await;
    let instance = server.instance().await;
    let mut busy = TcpStream::connect(server.app.local_addr()).await.unwrap();
    let head = format!(
        "POST /device_api/v1/instances/{}/devices/fcm HTTP/1.1\r\nHost: x\r\n\
         Content-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n",
        instance.id
    );
    assert_eq!(exchange_over(&mut busy, &head).await.status, 100);
    tokio::time::timeout(PATIENCE, server.app.stop())
        .await
        .unwrap();
    assert_eq!(to_the_end(&mut busy).await, "");
}
