//! https, with a certificate of the operator's.

use std::path::Path;

use server::app::{App, StartError};

use crate::logs::Listening;
use crate::support::{Server, config};

/// Writes a certificate for 127.0.0.1 and its key.
fn certificate(folder: &Path) -> (String, String, reqwest::Certificate) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    (
        certificate.display().to_string(),
        key.display().to_string(),
        root,
    )
}

#[tokio::test]
async fn both_versions_of_http_by_what_the_client_offers() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key, root) = certificate(folder.path());
    let server = Server::start_with(&[
        ("tls.certificate_file", &certificate),
        ("tls.key_file", &key),
    ])
    .await;
    assert_eq!(
        server.app.url(),
        format!("https://{}", server.app.local_addr())
    );
    let url = format!("{}/healthz", server.app.url());
    for (only_1, version) in [
        (false, http::Version::HTTP_2),
        (true, http::Version::HTTP_11),
    ] {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([root.clone()]);
        let client = if only_1 {
            builder.http1_only()
        } else {
            builder
        }
        .build()
        .unwrap();
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, version)
        );
    }
}

#[tokio::test]
async fn a_certificate_that_is_none_stops_the_start_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key, _) = certificate(folder.path());
    let empty = folder.path().join("empty.pem").display().to_string();
    std::fs::write(&empty, "nothing").unwrap();
    let missing = folder.path().join("missing.pem").display().to_string();
    for (certificate, key, named) in [
        (&missing, &key, &missing),
        (&empty, &key, &empty),
        (&certificate, &missing, &missing),
        (&certificate, &empty, &empty),
        (&certificate, &certificate, &certificate),
    ] {
        let database = folder.path().join("heliostat.db");
        let settings = [
            ("tls.certificate_file", certificate.as_str()),
            ("tls.key_file", key.as_str()),
        ];
        let error = App::start(config(&database, &settings)).await.unwrap_err();
        assert!(matches!(error, StartError::Tls(_)), "{error}");
        let line = error.to_string();
        assert!(
            line.contains(named.as_str()) && !line.contains('\n'),
            "{line}"
        );
        assert!(!database.exists(), "nothing is made by a start that fails");
    }
}

#[tokio::test]
async fn a_node_with_acme_says_that_it_is_not_alone() {
    let folder = tempfile::tempdir().unwrap();
    let acme = [
        ("acme.names", "push.example.com"),
        ("acme.terms_agreed", "true"),
        ("acme.directory_url", "https://127.0.0.1:1/"),
        ("acme.folder", folder.path().to_str().unwrap()),
    ];
    let listening = Listening::begin();
    let alone = Server::start_with(&acme).await;
    // It has looked once it has found that the authority is not there.
    let failed = "no certificate could be got";
    until_said(&listening, failed).await;
    assert!(!listening.text().contains("ACME is for one node"));
    alone.app.stop().await;

    let first = Server::start().await;
    let second = first.beside_with(&acme).await;
    until_said(
        &listening,
        "ACME is for one node, and several are on this database",
    )
    .await;
    second.app.stop().await;
}

async fn until_said(listening: &Listening, what: &str) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !listening.text().contains(what) {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
