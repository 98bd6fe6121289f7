//! https, with a certificate of the operator's.

use std::path::Path;

use server::app::{App, StartError};

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
