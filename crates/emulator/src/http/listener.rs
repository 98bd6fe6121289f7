//! The listening sockets: accept, TLS, choose the protocol, serve.
//!
//! Owns the bounds on connections and handshakes. It does not look at requests. Invariant: a peer that is slow or
//! broken costs its own connection and no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{CONNECTIONS_MAX, HANDSHAKE_SECONDS_MAX, Service, h1, h2_server};
use crate::Error;
use crate::settings::Settings;

/// After a failed accept (usually: no more file descriptors) wait so long.
const ACCEPT_PAUSE_MS: u64 = 50;

/// Which protocols a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocols {
    /// HTTP/2 over TLS, chosen by ALPN; nothing else.
    Http2Only,
    /// HTTP/2 or HTTP/1.1 over TLS, by ALPN; HTTP/1.1 for a client without ALPN.
    Http2AndHttp1,
    /// HTTP/1.1 without TLS.
    PlainHttp1,
}

/// A bound socket.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind(what: &'static str, address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Bind {
            what,
            address,
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop`; hands each connection to `serve` in a task of its own.
    pub(crate) async fn accept_each<F, R>(
        self,
        tasks: TaskTracker,
        stop: CancellationToken,
        serve: F,
    ) where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit,
                () = stop.cancelled() => return,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    let served = serve(stream);
                    tasks.spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the emulator could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }

    /// Serves `service` until `stop`.
    pub(crate) async fn serve<S: Service>(
        self,
        tls: ServerConfig,
        protocols: Protocols,
        service: Arc<S>,
        settings: Arc<Settings>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let acceptor = (protocols != Protocols::PlainHttp1)
            .then(|| TlsAcceptor::from(Arc::new(with_alpn(tls, protocols))));
        let ends = stop.clone();
        self.accept_each(tasks, stop, move |stream| {
            connection(
                stream,
                acceptor.clone(),
                protocols,
                Arc::clone(&service),
                Arc::clone(&settings),
                ends.clone(),
            )
        })
        .await;
    }
}

fn with_alpn(mut tls: ServerConfig, protocols: Protocols) -> ServerConfig {
    tls.alpn_protocols = match protocols {
        Protocols::Http2Only => vec![b"h2".to_vec()],
        Protocols::Http2AndHttp1 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocols::PlainHttp1 => Vec::new(),
    };
    tls
}

async fn connection<S: Service>(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    protocols: Protocols,
    service: Arc<S>,
    settings: Arc<Settings>,
    stop: CancellationToken,
) {
    let Some(acceptor) = acceptor else {
        return h1::serve(stream, service, stop).await;
    };
    let handshake = tokio::time::timeout(
        Duration::from_secs(HANDSHAKE_SECONDS_MAX),
        acceptor.accept(stream),
    );
    let tls = tokio::select! {
        tls = handshake => tls,
        () = stop.cancelled() => return,
    };
    let Ok(Ok(tls)) = tls else {
        tracing::debug!("a client did not finish its TLS handshake with the emulator");
        return;
    };
    let chosen = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    match chosen.as_deref() {
        Some(b"h2") => h2_server::serve(tls, service, settings, stop).await,
        _ if protocols == Protocols::Http2AndHttp1 => h1::serve(tls, service, stop).await,
        // Apple speaks HTTP/2 alone; a client that does not ask for it gets nothing.
        _ => tracing::debug!("a client did not ask for h2 by ALPN"),
    }
}
