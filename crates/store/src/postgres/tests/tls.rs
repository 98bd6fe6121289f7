//! Connections under TLS, to a real server: what each `sslmode` believes.

use std::io::Write as _;

use tempfile::NamedTempFile;

use super::super::connect::DatabaseUrl;
use super::super::{PostgresSettings, PostgresStore};
use super::fresh;
use crate::{Store as _, StoreError};

/// A file with a certificate authority.
fn authority(pem: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    file
}

/// One that the server has nothing to do with.
fn stranger() -> NamedTempFile {
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    authority(&issued.cert.pem())
}

/// The schema's URL at a host, with a mode and an authority to believe.
fn url(
    schema: &super::Schema,
    host: &str,
    mode: &str,
    authority: Option<&NamedTempFile>,
) -> DatabaseUrl {
    let server = schema.server.replace("127.0.0.1", host);
    let root = authority.map(|file| format!("&sslrootcert={}", file.path().display()));
    format!(
        "{server}?options=-csearch_path%3D{}&sslmode={mode}{}",
        schema.name,
        root.unwrap_or_default()
    )
    .parse()
    .unwrap()
}

/// Whether a connection is made, and whether it is encrypted.
async fn encrypted(url: &DatabaseUrl) -> Result<bool, StoreError> {
    let store = PostgresStore::open(url, PostgresSettings::default()).await?;
    let session = store.sessions.session().await.unwrap();
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let encrypted = session.known(sql, &[]).await.unwrap();
    drop(session);
    store.close().await;
    Ok(encrypted)
}

#[tokio::test]
async fn each_mode_believes_what_it_says() {
    let Some((store, schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    let sql = "SELECT pg_read_file(current_setting('ssl_cert_file'))";
    let certificate: String = session.known(sql, &[]).await.unwrap();
    let (right, wrong) = (authority(&certificate), stranger());
    let here = "127.0.0.1";
    for (host, mode, believed, expected) in [
        (here, "disable", None, Some(false)),
        (here, "prefer", None, Some(true)),
        (here, "require", None, Some(true)),
        (here, "verify-ca", Some(&right), Some(true)),
        (here, "verify-ca", Some(&wrong), None),
        (here, "verify-full", Some(&right), Some(true)),
        (here, "verify-full", Some(&wrong), None),
        // The certificate is made out to the address.
        ("localhost", "verify-ca", Some(&right), Some(true)),
        ("localhost", "verify-full", Some(&right), None),
    ] {
        let answer = encrypted(&url(&schema, host, mode, believed)).await;
        let told = format!("{host} {mode}: {answer:?}");
        match expected {
            Some(expected) => assert_eq!(answer.ok(), Some(expected), "{told}"),
            None => assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{told}"),
        }
    }
}
