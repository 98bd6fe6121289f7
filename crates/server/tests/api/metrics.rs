//! `/metrics`

use crate::support::{Server, device_path, exchange};

#[tokio::test]
async fn requests_are_counted_by_route_and_no_id_shows() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    server.get(&device_path(&instance, &id)).await.ok();
    server.get("/nothing").await.refused(404);
    let reply = server.get("/metrics").await.ok();
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let route = "/device_api/v1/instances/{instance}/devices/{platform}/{device}";
    let counted =
        format!(r#"heliostat_http_requests_total{{method="GET",route="{route}",status="200"}}"#);
    let timed = format!(
        r#"heliostat_http_request_seconds_bucket{{method="GET",route="{route}",le="0.0005"}}"#
    );
    for wanted in [
        counted.as_str(),
        &timed,
        r#"heliostat_http_requests_total{method="GET",route="none",status="404"}"#,
        "heliostat_queue_jobs ",
        "heliostat_queue_retries ",
        "heliostat_queue_oldest_job_seconds ",
        "heliostat_http_connections ",
        "# HELP heliostat_http_requests_total ",
    ] {
        assert!(
            reply.body.contains(wanted),
            "{wanted} is not in:\n{}",
            reply.body
        );
    }
    assert!(!reply.body.contains(&instance.id.to_string()));
    assert!(!reply.body.contains(&id));
}

#[tokio::test]
async fn metrics_may_have_an_address_of_their_own() {
    let server = Server::start_with(&[("metrics.listen", "127.0.0.1:0")]).await;
    server.get("/metrics").await.refused(404);
    server.get("/healthz").await.ok();
    let apart = server.app.metrics_addr().unwrap();
    for (path, status) in [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/openapi.json", 404),
        ("/publish_api/v1/instances/x/publishes", 404),
    ] {
        let reply = exchange(apart, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
    }
    // Both listeners end with the server.
    server.app.stop().await;
    assert!(tokio::net::TcpStream::connect(apart).await.is_err());
}
