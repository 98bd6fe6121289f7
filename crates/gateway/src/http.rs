//! The one outbound HTTP client.
//!
//! Requests go to a [`Destination`], which keeps a few HTTP/2 connections and multiplexes on them (HTTP/1.1 where the far
//! side knows nothing newer). No redirects, no proxy from the environment, no decompression; every wait, body and header
//! list is bounded. Knows nothing of gateways. Invariant: a request is sent again by itself only when the far side said,
//! or the protocol guarantees, that it was not processed.

mod address;
mod connection;
mod dial;
mod guard;
mod metered;
mod multiplexed;
mod pool;
mod resolve;
mod retry_after;
mod serial;
mod target;
mod tls;
mod whole_writes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::outcome::Outcome;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{Config, GatewayError};

pub use guard::{Guard, Refused};
pub(crate) use pool::Destination;
pub use resolve::{Resolver, SystemResolver};
#[cfg(feature = "fuzzing")]
pub(crate) use retry_after::RETRY_AFTER_MAX;
pub use retry_after::http_date;
pub(crate) use retry_after::retry_after;
pub(crate) use target::Target;
pub use tls::client_config as client_tls;

/// The largest answer body that is read, in bytes; the rest is refused by resetting the stream.
pub(crate) const ANSWER_BODY_LENGTH_MAX: usize = 64 * 1024;
/// The largest header list of an answer, in bytes.
const ANSWER_HEADERS_LENGTH_MAX: u32 = 16 * 1024;
/// How long a connection to a host chosen by others may take until it can be used, its name's lookup included. Push services are
/// there within one second, and a host that is not keeps deliveries waiting for so long.
const GUARDED_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a host chosen by others may take for its first answer: a stranger gets less patience than a service that is slow today.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many hosts chosen by others have connections at once; with several connections each they must not use up the
/// process's file descriptors.
pub(crate) const GUARDED_DESTINATIONS_MAX: usize = 512;
/// How long a connection to a gateway of ours may lie idle. Apple asks to keep connections open.
const OWN_IDLE_MAX: Duration = Duration::from_secs(3600);
/// How long a connection to a host chosen by others may lie idle.
const GUARDED_IDLE_MAX: Duration = Duration::from_secs(120);
/// How long over the timeout of requests closing may take before connections are cut.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Up to [`ANSWER_BODY_LENGTH_MAX`] bytes; less than all if the body was longer, broke off or came too slowly.
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The address guard said no; nothing was sent.
    #[error("the address is not allowed: {0}")]
    Refused(#[from] Refused),
    /// The name server gave no address.
    #[error("the host name could not be resolved")]
    Resolve,
    /// No TCP connection.
    #[error("no connection could be made")]
    Connect,
    /// No TLS session, most often because the certificate is not trusted.
    #[error("no TLS session could be made")]
    Tls,
    /// TLS, but then no HTTP.
    #[error("the far side does not speak HTTP")]
    Handshake,
    /// No answer in time. The request may have been processed.
    #[error("no answer in time")]
    Timeout,
    /// No free stream in time; nothing was sent.
    #[error("no free stream in time")]
    Saturated,
    /// The connection ended before the answer. The request may have been processed.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The far side ended the stream, or broke the protocol on it. The request may have been processed.
    #[error("the stream was reset")]
    StreamReset,
    /// The far side says that it did not process the request, again and again.
    #[error("the stream was refused")]
    StreamRefused,
    /// The request cannot be written; nothing was sent.
    #[error("the request cannot be written")]
    Malformed,
    /// Too many hosts at once; nothing was sent.
    #[error("too many hosts at once")]
    TooManyHosts,
    /// The client is closing; nothing was sent.
    #[error("the client is closing")]
    Closing,
}

impl Failure {
    /// What a failure of the way means for a delivery: not now. A gateway that is guarded decides by itself what
    /// [`Failure::Refused`] means.
    pub(crate) fn outcome(self) -> Outcome {
        if self == Self::Malformed {
            return Outcome::rejected("malformed_request");
        }
        Outcome::retry(self.word())
    }

    /// The word for it in metrics, reasons and pages.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_request",
            Self::Refused(_) => "address_not_allowed",
            Self::Resolve => "resolve_failed",
            Self::Connect => "connect_failed",
            Self::Tls => "tls_failed",
            Self::Handshake => "handshake_failed",
            Self::Timeout => "timeout",
            Self::Saturated => "saturated",
            Self::ConnectionLost => "connection_lost",
            Self::StreamReset => "stream_reset",
            Self::StreamRefused => "stream_refused",
            Self::TooManyHosts => "too_many_hosts",
            Self::Closing => "closing",
        }
    }
}

/// What all destinations share.
#[derive(Debug)]
struct Context {
    guard: Guard,
    lookups: resolve::Lookups,
    tls: Arc<rustls::ClientConfig>,
    request_timeout: Duration,
    connect_timeout: Duration,
    connections_max: usize,
    in_flight_max: usize,
    tasks: TaskTracker,
    /// Cancelled: nothing new, finish what is in flight.
    closing: CancellationToken,
    /// Cancelled: drop everything.
    cut: CancellationToken,
}

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    context: Arc<Context>,
    /// Destinations chosen by others, by origin or by who sends there.
    guarded: Arc<Mutex<HashMap<Box<str>, Arc<Destination>>>>,
}

impl HttpClient {
    pub(crate) fn new(config: &Config) -> Result<Self, GatewayError> {
        let context = Context {
            guard: Guard::new(config.outbound_allow.clone())
                .excepting_for_webhooks(config.outbound_allow_webhooks.clone())
                .denying(config.outbound_deny.clone()),
            lookups: resolve::Lookups::new(Arc::clone(&config.resolver)),
            tls: Arc::new(tls::client_config(config.extra_ca_pem.as_deref())?),
            request_timeout: config.request_timeout,
            connect_timeout: config.connect_timeout,
            connections_max: config.connections_per_host_max.max(1),
            in_flight_max: config.in_flight_per_connection_max.max(1),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        Ok(Self {
            context: Arc::new(context),
            guarded: Arc::default(),
        })
    }

    /// Another client with the same roots, and a guard and connections of its own, that waits no longer than `timeout` and
    /// makes at most `connections_max` connections to one destination.
    pub(crate) fn separate(&self, guard: Guard, timeout: Duration, connections_max: usize) -> Self {
        let context = Context {
            guard,
            lookups: self.context.lookups.separate(),
            tls: Arc::clone(&self.context.tls),
            request_timeout: timeout,
            connect_timeout: timeout.min(self.context.connect_timeout),
            connections_max,
            in_flight_max: self.context.in_flight_max,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        Self {
            context: Arc::new(context),
            guarded: Arc::default(),
        }
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.context.guard
    }

    /// A destination of its own, shared with nobody: for a gateway named by the operator, whose connections belong to one
    /// credential. Its addresses are not checked.
    pub(crate) fn own_destination(&self, target: Target) -> Arc<Destination> {
        Arc::new(Destination::new(
            Arc::clone(&self.context),
            target,
            false,
            OWN_IDLE_MAX,
        ))
    }

    /// The destination of a URL that somebody else chose, shared by all who send to its origin.
    pub(crate) fn guarded_destination(&self, origin: &str) -> Result<Arc<Destination>, Failure> {
        self.guarded(origin, || {
            let url = Url::parse(origin).map_err(|_| Failure::Refused(Refused::NotUrl))?;
            self.context.guard.check_parsed(&url)?;
            Target::new(&url).ok_or(Failure::Refused(Refused::HostForm))
        })
    }

    /// Whether the host of this origin has answered, as far as is remembered, and could be connected to ever since.
    pub(crate) fn is_known(&self, origin: &str) -> bool {
        let guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        guarded.get(origin).is_some_and(|host| host.is_known())
    }

    /// The destination of a webhook's URL, shared by all requests with the same `key`.
    pub(crate) fn webhook_destination(
        &self,
        key: &str,
        url: &Url,
    ) -> Result<Arc<Destination>, Failure> {
        self.guarded(key, || {
            self.context.guard.check_webhook_parsed(url)?;
            Target::perhaps_plain(url).ok_or(Failure::Refused(Refused::HostForm))
        })
    }

    fn guarded(
        &self,
        key: &str,
        target: impl FnOnce() -> Result<Target, Failure>,
    ) -> Result<Arc<Destination>, Failure> {
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = guarded.get(key) {
            return Ok(Arc::clone(destination));
        }
        let target = target()?;
        if guarded.len() >= GUARDED_DESTINATIONS_MAX {
            // Whoever sends or connects holds it. The connections of the others end; first those that are none.
            let in_use = |destination: &Arc<Destination>| Arc::strong_count(destination) > 1;
            guarded.retain(|_, destination| in_use(destination) || destination.is_known());
            if guarded.len() > GUARDED_DESTINATIONS_MAX / 2 {
                guarded.retain(|_, destination| in_use(destination));
            }
            if guarded.len() >= GUARDED_DESTINATIONS_MAX {
                return Err(Failure::TooManyHosts);
            }
        }
        let destination = Arc::new(Destination::new(
            Arc::clone(&self.context),
            target,
            true,
            GUARDED_IDLE_MAX,
        ));
        guarded.insert(key.into(), Arc::clone(&destination));
        Ok(destination)
    }

    /// Ends all connections once their requests are answered or have timed out.
    pub(crate) async fn close(&self) {
        self.context.closing.cancel();
        self.guarded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.context.tasks.close();
        let grace = self.context.request_timeout + CLOSE_GRACE;
        if tokio::time::timeout(grace, self.context.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("connections to gateways did not end in time and are cut");
            self.context.cut.cancel();
            self.context.tasks.wait().await;
        }
    }
}

#[cfg(test)]
impl Context {
    /// A context with a root that nobody has.
    fn for_tests() -> Arc<Self> {
        let root = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = Config {
            extra_ca_pem: Some(root.cert.pem().into_bytes()),
            ..Config::default()
        };
        HttpClient::new(&config).unwrap().context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> HttpClient {
        HttpClient {
            context: Context::for_tests(),
            guarded: Arc::default(),
        }
    }

    #[test]
    fn hosts_chosen_by_others_are_bounded_and_those_in_use_are_kept() {
        let client = client();
        let origin = |number: usize| format!("https://{number}.example");
        let kept = client.guarded_destination(&origin(0)).unwrap();
        for number in 0..2 * GUARDED_DESTINATIONS_MAX {
            client.guarded_destination(&origin(number)).unwrap();
            let count = client.guarded.lock().unwrap().len();
            assert!(count <= GUARDED_DESTINATIONS_MAX);
        }
        let again = client.guarded_destination(&origin(0)).unwrap();
        assert!(Arc::ptr_eq(&kept, &again));

        let held: Vec<_> = (0..GUARDED_DESTINATIONS_MAX)
            .map(|number| client.guarded_destination(&origin(number)).unwrap())
            .collect();
        let one_more = client.guarded_destination("https://more.example");
        assert_eq!(one_more.unwrap_err(), Failure::TooManyHosts);
        drop(held);
        assert!(client.guarded_destination("https://more.example").is_ok());
    }

    #[test]
    fn a_refused_origin_takes_no_place() {
        let client = client();
        let refused = client.guarded_destination("https://10.0.0.1").unwrap_err();
        assert_eq!(refused, Failure::Refused(Refused::Address));
        assert!(client.guarded.lock().unwrap().is_empty());
    }
}
