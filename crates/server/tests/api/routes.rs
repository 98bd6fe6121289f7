//! What no route takes, health, and methods that nobody has.

use http::Method;

use crate::support::{Server, exchange};

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_json() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let own = instance.id;
    for path in [
        "/favicon.ico".to_owned(),
        "/device_api/v1/instances".into(),
        format!("/device_api/v1/instances/{own}"),
        format!("/device_api/v1/instances/{own}/safari-website-push-id"),
        format!("/publish_api/v1/instances/{own}/publishes/everybody/everywhere"),
        format!("/customer_api/v1/instances/{own}/users/"),
        "//device_api//".into(),
        "/%FF%00".into(),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            server.send(method, &path, &[], "").await.refused(404);
        }
    }
    let publishes = format!("/publish_api/v1/instances/{own}/publishes/interests");
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::OPTIONS] {
        let reply = server.send(method, &publishes, &[], "").await;
        reply.refused(405);
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    let own_method = Method::from_bytes(b"BREW").unwrap();
    server
        .send(own_method, "/healthz", &[], "")
        .await
        .refused(405);
}

#[tokio::test]
async fn healthy_and_ready() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.ok().json()["status"], "ok");
    assert_eq!(server.get("/readyz").await.ok().json()["status"], "ready");
    let head = server.send(Method::HEAD, "/healthz", &[], "").await.ok();
    assert_eq!(head.body, "");
}

#[tokio::test]
async fn the_host_does_not_matter() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = instance.id;
    let shouted = id.to_string().to_uppercase();
    let path = format!("/device_api/v1/instances/{shouted}/web-vapid-public-key");
    for host in [
        format!("{id}.pushnotifications.pusher.com"),
        "else.where".into(),
        "127.0.0.1:1".into(),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = exchange(server.app.local_addr(), &request).await;
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
}
