//! A TLS listener on loopback that hands each connection to a script.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) type Tls = TlsStream<TcpStream>;

/// Ends with all its connections when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    ca_pem: String,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Offers `protocols` and runs `script` on each connection.
    pub(crate) async fn start<S, F>(protocols: &[&[u8]], script: S) -> Self
    where
        S: Fn(Tls) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let certified =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "push.test".to_owned()])
                .unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    connections.spawn(script(tls));
                }
            }
        });
        Self {
            address,
            ca_pem: certified.cert.pem(),
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

/// Reads one HTTP/1.1 request with its body; `false` at the end of the connection.
pub(crate) async fn read_request<T: AsyncRead + Unpin>(io: &mut T) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /push http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: 127.0.0.1:"), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    io.read_exact(&mut body).await.is_ok()
}

/// Answers every request on a connection with the same bytes.
pub(crate) async fn serve_http_1<T: AsyncRead + AsyncWrite + Unpin>(
    mut io: T,
    answer: &'static str,
) {
    while read_request(&mut io).await {
        if io.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
