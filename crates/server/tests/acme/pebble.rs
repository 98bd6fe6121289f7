//! Pebble, Let's Encrypt's server for tests, with the DNS server that comes with it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

/// Generous: these machines are shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running authority that looks for names at 127.0.0.1.
pub(crate) struct Pebble {
    folder: TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    processes: Vec<Child>,
}

/// Where scripts/test unpacks it.
fn program(name: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/debian/usr/bin");
    let path = tools.join(name);
    assert!(
        path.exists(),
        "{name} is not at {}: `scripts/test deploy` puts it there",
        path.display()
    );
    path
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn free_udp_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

impl Pebble {
    /// Starts one that looks for its challenges at `tls_port`.
    pub(crate) async fn start(tls_port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (directory, management, dns) = (free_address(), free_address(), free_udp_address());
        write_certificate(folder.path());
        let config = json!({"pebble": {
            "listenAddress": directory.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": folder.path().join("cert.pem"),
            "privateKey": folder.path().join("key.pem"),
            "httpPort": 1,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let config_path = folder.path().join("pebble.json");
        std::fs::write(&config_path, config.to_string()).unwrap();
        let mut names = Command::new(program("pebble-challtestsrv"));
        names.args(["-dns01", &dns.to_string(), "-defaultIPv6", ""]);
        names.args([
            "-defaultIPv4",
            "127.0.0.1",
            "-management",
            &free_address().to_string(),
        ]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let mut authority = Command::new(program("pebble"));
        authority
            .args(["-config", config_path.to_str().unwrap()])
            .args(["-dnsserver", &dns.to_string()])
            // Neither pauses before it looks nor refuses some nonces for practice.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0");
        let log = File::create(folder.path().join("log")).unwrap();
        let start = |command: &mut Command| {
            let command = command.stdin(Stdio::null());
            command.stdout(log.try_clone().unwrap());
            command.stderr(log.try_clone().unwrap()).spawn().unwrap()
        };
        let pebble = Self {
            processes: vec![start(&mut names), start(&mut authority)],
            folder,
            directory,
            management,
        };
        pebble.until_up().await;
        pebble
    }

    async fn until_up(&self) {
        let client = self.client();
        let up = async {
            while client.get(self.directory_url()).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up)
            .await
            .expect("Pebble does not start");
    }

    pub(crate) fn directory_url(&self) -> String {
        format!("https://{}/dir", self.directory)
    }

    /// The root of Pebble's own https, which has nothing to do with what it issues.
    pub(crate) fn own_root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// The root of what it issues.
    pub(crate) async fn issued_root(&self) -> String {
        let url = format!("https://{}/roots/0", self.management);
        let reply = self.client().get(url).send().await.unwrap();
        reply.text().await.unwrap()
    }

    fn client(&self) -> reqwest::Client {
        let root = std::fs::read(self.own_root()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&root).unwrap()])
            .build()
            .unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            println!("{}", log.unwrap_or_default());
        }
    }
}

fn write_certificate(folder: &Path) {
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, "root of a test");
    root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &root).unwrap();
    std::fs::write(folder.join("root.pem"), root.as_ref().pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), own.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}
