//! `/metrics`

use std::collections::BTreeSet;

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

/// All names of ours in a text, without what Prometheus puts behind the name of a histogram.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("heliostat_"))
        .map(|word| {
            let ends = ["_bucket", "_sum", "_count"];
            let bare = ends.iter().find_map(|end| word.strip_suffix(end));
            bare.unwrap_or(word).to_owned()
        })
        .collect()
}

fn read(path: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

#[tokio::test]
async fn what_is_documented_drawn_and_alerted_on_is_what_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    // With everything on that has metrics. They are the whole process's, those of other tests among them.
    let server = Server::start_with(&[
        ("tls.certificate_file", certificate.to_str().unwrap()),
        ("tls.key_file", key.to_str().unwrap()),
        ("metrics.listen", "127.0.0.1:0"),
    ])
    .await;
    let apart = server.app.metrics_addr().unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    exchange(apart, request).await;
    let text = exchange(apart, request).await.body;

    let types: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let documented: BTreeSet<(String, String)> = read("docs/OBSERVABILITY.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `heliostat_"))
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`');
            (
                format!("heliostat_{name}"),
                cells.next().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(documented, types);

    let served: BTreeSet<String> = types.into_iter().map(|(name, _)| name).collect();
    for name in &served {
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} is not described"
        );
        let counts = text.contains(&format!("# TYPE {name} counter"));
        assert_eq!(counts, name.ends_with("_total"), "{name}");
    }
    let drawn = names(&read("deploy/grafana/heliostat.json"));
    assert_eq!(drawn, served, "the dashboard draws all there is");
    let alerted = names(&read("deploy/prometheus/alerts.yml"));
    let unknown: Vec<_> = alerted.difference(&served).collect();
    assert!(unknown.is_empty() && alerted.len() > 5, "{unknown:?}");
    let tried = names(&read("deploy/prometheus/alerts.test.yml"));
    assert_eq!(tried, alerted, "every metric of the rules is in their test");
}
