//! A certificate that is replaced while the server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PATIENCE;
use crate::support::Server;

/// A certificate of its own authority, and what trusts it.
struct Made {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

fn made() -> Made {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    Made {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    }
}

fn put(folder: &Path, certificate: &str, key: &str) {
    std::fs::write(folder.join("cert.pem"), certificate).unwrap();
    std::fs::write(folder.join("key.pem"), key).unwrap();
}

async fn serve(folder: &Path) -> Server {
    Server::start_with(&[
        (
            "tls.certificate_file",
            folder.join("cert.pem").to_str().unwrap(),
        ),
        ("tls.key_file", folder.join("key.pem").to_str().unwrap()),
        ("tls.check_secs", "1"),
    ])
    .await
}

/// Connects, trusting these alone.
async fn connect(server: &Server, trusted: &[&Made]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for made in trusted {
        roots.add(made.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.app.local_addr()).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Which certificate a new connection gets.
async fn served(server: &Server, all: &[&Made]) -> CertificateDer<'static> {
    let stream = connect(server, all).await.unwrap();
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn until_served(server: &Server, wanted: &Made, all: &[&Made]) {
    let all_along = async {
        while served(server, all).await != wanted.der {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_along).await.unwrap();
}

/// Waits until more files than before were refused, as the metrics tell, and says how many. No other test has any refused.
async fn more_than(server: &Server, trusted: &Made, before: u64) -> u64 {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(trusted.certificate.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("{}/metrics", server.app.url());
    let counted = async {
        loop {
            let text = client.get(&url).send().await.unwrap().text().await.unwrap();
            let name = "heliostat_certificate_changes_total{outcome=\"refused\"} ";
            let count = text.lines().find_map(|line| line.strip_prefix(name));
            let count = count.map_or(0, |count| count.parse().unwrap());
            if count > before {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap()
}

/// Asks on a connection that is open and stays open.
async fn is_answered(stream: &mut TlsStream<TcpStream>) {
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut rest = Vec::new();
    while !rest.ends_with(b"}\n") {
        rest.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn new_connections_get_a_new_certificate_and_open_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (made(), made());
    put(folder.path(), &first.certificate, &first.key);
    let server = serve(folder.path()).await;
    let mut open = connect(&server, &[&first]).await.unwrap();
    is_answered(&mut open).await;

    put(folder.path(), &second.certificate, &second.key);
    until_served(&server, &second, &[&first, &second]).await;
    is_answered(&mut open).await;
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (made(), made());
    put(folder.path(), &first.certificate, &first.key);
    let server = serve(folder.path()).await;
    let all = [&first, &second];
    let mut refused = 0;
    for (certificate, key) in [
        ("nothing", second.key.as_str()),
        (&second.certificate, "nothing"),
        (&second.certificate, &first.key),
        ("", ""),
    ] {
        put(folder.path(), certificate, key);
        refused = more_than(&server, &first, refused).await;
        assert_eq!(served(&server, &all).await, first.der);
    }
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    more_than(&server, &first, refused).await;
    assert_eq!(served(&server, &all).await, first.der);
    put(folder.path(), &second.certificate, &second.key);
    until_served(&server, &second, &all).await;
}
