//! When the store fails: a 503 that says to come back, and reports that hold nobody up.

use http::Method;

use crate::support::{JSON, Server, android, device_path, devices, exchange, swift};

#[tokio::test]
async fn a_store_that_does_not_work_is_503_everywhere_but_where_nothing_is_asked_of_it() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = device_path(&instance, &server.fcm_device(&instance, "token").await);
    server.app.store().close().await;
    let id = instance.id;
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    let publish = r#"{"interests":["a"],"users":["b"],"web":{"notification":{}}}"#;
    for (method, path, body) in [
        (
            Method::POST,
            format!("{}/fcm", devices(&instance)),
            r#"{"token":"x"}"#,
        ),
        (Method::GET, device.clone(), ""),
        (Method::DELETE, device.clone(), ""),
        (Method::GET, format!("{device}/interests"), ""),
        (
            Method::PUT,
            format!("{device}/interests"),
            r#"{"interests":[]}"#,
        ),
        (Method::POST, format!("{device}/interests/a"), ""),
        (Method::DELETE, format!("{device}/interests/a"), ""),
        (Method::PUT, format!("{device}/metadata"), "{}"),
        (
            Method::DELETE,
            format!("/customer_api/v1/instances/{id}/users/a"),
            "",
        ),
        (Method::GET, "/readyz".into(), ""),
    ] {
        let reply = server.send(method, &path, &headers, body).await;
        assert_eq!(reply.refused(503).0, "Service unavailable", "{path}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    // Refused before the store is asked.
    let path = format!("/publish_api/v1/instances/{id}/publishes/interests");
    assert!(
        server
            .send(Method::POST, &path, &headers, publish)
            .await
            .status
            .as_u16()
            >= 422
    );
    server.get("/healthz").await.ok();
    // The numbers that this process has by itself are wanted most now. Those of the queue nobody knows.
    let metrics = server.get("/metrics").await.ok().body;
    assert!(metrics.contains("heliostat_http_requests_total{"));
    assert!(!metrics.contains("heliostat_queue_jobs"), "{metrics}");
}

#[tokio::test]
async fn a_report_that_cannot_be_kept_is_lost_for_swift_and_repeated_by_android() {
    let server = Server::start().await;
    let instance = server.instance().await;
    server.app.store().close().await;
    let path = format!("/reporting_api/v2/instances/{}/events", instance.id);
    let id = "9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    let body = format!(
        r#"{{"event":"Open","publishId":"pubid-{id}","deviceId":"apns-{id}","timestampSecs":1}}"#
    );
    let by = |library| [JSON, ("X-Pusher-Library", library)];
    let reply = server
        .send(
            Method::POST,
            &path,
            &by("push-notifications-swift 4.0.0"),
            body.clone(),
        )
        .await;
    assert!(swift::ends(reply.status.as_u16(), ""), "{reply:?}");
    let reply = server
        .send(
            Method::POST,
            &path,
            &by("push-notifications-android 1.9.2"),
            body,
        )
        .await;
    reply.refused(503);
    assert!(!android::ends_change(503));
}

#[tokio::test]
async fn while_it_stops_the_server_is_alive_but_not_ready() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let address = server.app.local_addr();
    // A request in flight keeps its connection, and with it the server, from ending.
    let mut busy = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /device_api/v1/instances/{}/devices/fcm HTTP/1.1\r\nHost: x\r\n\
         Content-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n",
        instance.id
    );
    assert_eq!(
        crate::support::exchange_over(&mut busy, &head).await.status,
        100
    );
    let reply = exchange(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(reply.status, 200);
    server.app.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
