//! Accepts connections and serves HTTP on them: HTTP/1.1 and HTTP/2, by ALPN over TLS, by prior knowledge without.
//!
//! Knows nothing of routes. Invariants: there are never more connections than allowed; each ends by itself when nothing
//! happens on it, or nothing is taken from it; when the server stops, requests in flight are answered and everything else ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::activity::Activity;
use super::answers;
use crate::config::Limits;
use crate::http::Peer;
use crate::limits::{AddressPlaces, Room, Rooms};
use crate::tls;

/// How long to wait after a connection could not be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that was told to end may go on, over the time that its requests may take.
const LINGER: Duration = Duration::from_secs(5);
/// How often an HTTP/2 connection is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Everything that a connection needs.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    /// Proxies, which stand for many callers.
    pub(super) trusted: Arc<[IpNet]>,
    /// Cancelled when the server is to stop.
    pub(super) stopping: CancellationToken,
    /// Cancelled when what is left is to be cut off.
    pub(super) cut: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// Spawns HTTP/2 streams where a stop can wait for them.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

impl Connections {
    /// Accepts until the server stops.
    pub(super) async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let places_of_address = AddressPlaces::new(self.limits.connections_per_address_max);
        let rooms = Rooms::new(self.limits.held_bytes_max);
        loop {
            // Without a place, nobody is let in: the rest waits in the kernel's queue.
            let place = tokio::select! {
                () = self.stopping.cancelled() => return,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let from = address.ip().to_canonical();
                    let is_proxy = self.trusted.iter().any(|network| network.contains(&from));
                    let Some(place_of_address) = places_of_address.take(from, is_proxy) else {
                        metrics::counter!("heliostat_http_connections_refused_total").increment(1);
                        continue;
                    };
                    let room = rooms.of(from, is_proxy);
                    let connection = self.clone();
                    self.tasks.spawn(async move {
                        metrics::gauge!("heliostat_http_connections").increment(1.0);
                        connection.run(stream, address, room).await;
                        metrics::gauge!("heliostat_http_connections").decrement(1.0);
                        drop((place, place_of_address));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn run(&self, stream: TcpStream, address: SocketAddr, room: Room) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection is gone already");
            return;
        }
        let Some(tls) = &self.tls else {
            let peer = Peer {
                address,
                tls: false,
            };
            return self.serve(TokioIo::new(stream), peer, room).await;
        };
        let handshake = tokio::time::timeout(self.limits.header_timeout, tls.accept(stream));
        let shaken = tokio::select! {
            () = self.stopping.cancelled() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            // This was the whole conversation (RFC 8737 section 4).
            Ok(Ok(stream)) if is_challenge(&stream) => {}
            Ok(Ok(stream)) => {
                let peer = Peer { address, tls: true };
                self.serve(TokioIo::new(stream), peer, room).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve<I>(&self, io: I, peer: Peer, room: Room)
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let service = service_fn(|mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(room.clone());
            let (router, busy) = (self.router.clone(), activity.begin());
            let (room, activity) = (room.clone(), activity.clone());
            async move {
                let response = router.oneshot(request).await?;
                drop(busy);
                Ok::<_, Infallible>(answers::counted(response, &room, &activity))
            }
        });
        let builder = self.builder();
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            result = connection.as_mut() => return note(result),
            () = self.stopping.cancelled() => {}
            () = activity.idle(self.limits.idle_timeout) => {}
            // Asking it to end would wait for the very answer that is not read.
            () = activity.unread(self.limits.idle_timeout) => return,
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            result = connection.as_mut() => note(result),
            () = self.cut.cancelled() => {}
            () = tokio::time::sleep(self.limits.request_timeout + LINGER) => {}
        }
    }

    fn builder(&self) -> auto::Builder<Tracked> {
        let limits = &self.limits;
        let mut builder = auto::Builder::new(Tracked(self.tasks.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.header_bytes_max);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(limits.header_timeout)
            .max_concurrent_streams(limits.http2_streams_max)
            // CVE-2023-44487 and its kin: streams that are reset cost the caller nothing and us something.
            .max_pending_accept_reset_streams(limits.http2_resets_max)
            .max_local_error_reset_streams(limits.http2_resets_max)
            .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX));
        builder
    }
}

/// Whether a certificate authority connected to see its challenge answered.
fn is_challenge(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(tls::CHALLENGE_PROTOCOL)
}

/// Callers break connections all the time; that is no news.
fn note(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}
