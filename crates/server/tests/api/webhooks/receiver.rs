//! An app's backend that receives webhooks. What it does is in the path: `/ok` is well-behaved.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// How long a test waits for something that must happen. A test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(found) => found,
        Err(_) => panic!("waited in vain until {what}"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Tls,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// A header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Debug, Default)]
struct Log {
    /// By path, with how many of them a test has taken.
    requests: Mutex<HashMap<String, (usize, Vec<Received>)>>,
    connections: AtomicUsize,
}

impl Log {
    fn add(&self, path: &str, received: Received) {
        let mut requests = self.requests.lock().unwrap();
        let (_, all) = requests.entry(path.to_owned()).or_default();
        all.push(received);
    }
}

pub(crate) struct Receiver {
    address: SocketAddr,
    kind: Kind,
    certificate: String,
    log: Arc<Log>,
    /// Ends with it.
    _task: tokio::task::JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (log, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tasks.spawn(async move {
                    match kind {
                        Kind::Plain => serve(tcp, &log).await,
                        Kind::Tls => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                serve(tls, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            kind,
            certificate: own.cert.pem(),
            log,
            _task: task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.kind == Kind::Tls {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Its certificate, in a file that lives as long as what is returned.
    pub(crate) fn ca_file(&self) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.certificate.as_bytes()).unwrap();
        file
    }

    /// How many requests came to a path.
    pub(crate) fn seen(&self, path: &str) -> usize {
        let requests = self.log.requests.lock().unwrap();
        requests.get(path).map_or(0, |(_, all)| all.len())
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::Relaxed)
    }

    /// The next request to a path that no test has taken yet.
    pub(crate) async fn next(&self, path: &str) -> Received {
        until(&format!("a request comes to {path}"), async || {
            let mut requests = self.log.requests.lock().unwrap();
            let (taken, all) = requests.get_mut(path)?;
            let next = all.get(*taken).cloned()?;
            *taken += 1;
            Some(next)
        })
        .await
    }
}

/// Serves one connection until it ends, or the path says otherwise.
async fn serve(mut io: impl AsyncRead + AsyncWrite + Unpin, log: &Log) {
    while let Some((path, received)) = read(&mut io).await {
        log.add(&path, received);
        let answer: &[u8] = match path.as_str() {
            "/silent" => {
                std::future::pending::<()>().await;
                return;
            }
            "/endless" => {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut going = io.write_all(head).await.is_ok();
                while going {
                    going = io.write_all(b"5\r\nhello\r\n").await.is_ok();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                return;
            }
            "/broken" => return,
            "/no-http" => b"220 mail.example ESMTP\r\n",
            "/redirect" => {
                b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
            }
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        };
        if io.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads a request: its path, and the rest.
async fn read(io: &mut (impl AsyncRead + Unpin)) -> Option<(String, Received)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    io.read_exact(&mut body).await.ok()?;
    Some((path, Received { headers, body }))
}
