//! Certificates by ACME, from a real ACME server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of a test fail the test"
)]

mod pebble;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock as _, ManualClock, SystemClock};
use pebble::{PATIENCE, Pebble, free_address};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use server::app::App;
use server::config::{Config, Overrides};

const NAMES: &str = "push.example.test,www.push.example.test";

/// Pebble issues for five years; two thirds of that are over after this.
const LONG: Duration = Duration::from_secs(4 * 365 * 24 * 60 * 60);

async fn start(
    folder: &Path,
    listen: SocketAddr,
    pebble: &Pebble,
    names: &str,
    clock: Arc<ManualClock>,
) -> App {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let others = [
        ("acme.names", names.to_owned()),
        ("acme.terms_agreed", "true".to_owned()),
        ("acme.contact", "mailto:ops@example.test".to_owned()),
        ("acme.directory_url", pebble.directory_url()),
        ("acme.folder", text(&folder.join("acme"))),
        ("outbound.ca_file", text(&pebble.own_root())),
        ("metrics.listen", "127.0.0.1:0".to_owned()),
    ];
    let overrides = Overrides {
        listen: Some(listen.to_string()),
        database: Some(format!("sqlite:{}", text(&folder.join("heliostat.db")))),
        others: others.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        ..Overrides::default()
    };
    let config = Config::load(None, &|_| None, overrides).unwrap();
    App::start_at(config, clock).await.unwrap()
}

/// The certificate that a client which trusts the authority gets for this name; `None` if it gets none it trusts.
async fn served(app: &App, pebble: &Pebble, name: &str) -> Option<CertificateDer<'static>> {
    let mut roots = rustls::RootCertStore::empty();
    let root = pebble.issued_root().await;
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(app.local_addr())
        .await
        .unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector
        .connect(name.to_owned().try_into().unwrap(), stream)
        .await
        .ok()?;
    let (_, session) = stream.get_ref();
    Some(session.peer_certificates().unwrap()[0].clone().into_owned())
}

async fn until_served(
    app: &App,
    pebble: &Pebble,
    name: &str,
    good: impl Fn(&CertificateDer<'static>) -> bool,
) -> CertificateDer<'static> {
    let waiting = async {
        loop {
            if let Some(certificate) = served(app, pebble, name).await.filter(|found| good(found)) {
                return certificate;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("no certificate")
}

/// A number of /metrics.
async fn metric(app: &App, line_start: &str) -> f64 {
    let url = format!("http://{}/metrics", app.metrics_addr().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(line_start));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn is_got_kept_renewed_and_a_failure_changes_nothing() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().unwrap();
    // Shown if the test fails: an authority's refusal is best told by the server's own line.
    let log = tracing_subscriber::fmt().with_test_writer();
    log.with_max_level(tracing::Level::INFO).init();
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address();
    let pebble = Pebble::start(listen.port()).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));

    // The first start gets one, for every name.
    let app = start(folder.path(), listen, &pebble, NAMES, Arc::clone(&clock)).await;
    let first = until_served(&app, &pebble, "push.example.test", |_| true).await;
    assert_eq!(
        served(&app, &pebble, "www.push.example.test")
            .await
            .as_ref(),
        Some(&first)
    );
    assert_eq!(served(&app, &pebble, "other.example.test").await, None);
    let ends = metric(&app, "heliostat_certificate_expiry_timestamp_seconds ").await;
    assert!(ends > clock.now().after(LONG).as_secs() as f64, "{ends}");
    for file in ["account.json", "certificate.pem"] {
        let found = std::fs::metadata(folder.path().join("acme").join(file)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{file}");
    }
    app.stop().await;

    // Another start serves what was kept, from the first moment on.
    let issued = "heliostat_acme_orders_total{outcome=\"issued\"} ";
    let app = start(folder.path(), listen, &pebble, NAMES, Arc::clone(&clock)).await;
    assert_eq!(
        served(&app, &pebble, "push.example.test").await,
        Some(first.clone())
    );
    let orders = metric(&app, issued).await;
    app.stop().await;

    // When most of its life is over there is a new one, from the same account.
    let account = std::fs::read(folder.path().join("acme/account.json")).unwrap();
    clock.advance(LONG);
    let app = start(folder.path(), listen, &pebble, NAMES, Arc::clone(&clock)).await;
    let second = until_served(&app, &pebble, "push.example.test", |found| *found != first).await;
    assert!(metric(&app, issued).await > orders);
    assert_eq!(
        std::fs::read(folder.path().join("acme/account.json")).unwrap(),
        account
    );
    app.stop().await;

    // A name that leads elsewhere is refused by the authority, and what there was goes on being served.
    let elsewhere = Pebble::start(1).await;
    let failed = "heliostat_acme_orders_total{outcome=\"failed\"} ";
    let app = start(folder.path(), listen, &elsewhere, "new.example.test", clock).await;
    let waiting = async {
        while metric(&app, failed).await < 1.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("no failure is told");
    assert_eq!(
        served(&app, &pebble, "push.example.test").await,
        Some(second)
    );
    app.stop().await;
}
