//! HTTP/2 (RFC 9113) on `h2`: one driver task per connection, any number of requests on it.
//!
//! The driver moves bytes, follows the far side's SETTINGS, pings, and ends the connection when it is dead or idle.
//! Requests talk to it through `h2`'s own handles, so a request costs no task and no channel. Invariant: a request counts as
//! unprocessed only after a GOAWAY whose last stream is below it, a REFUSED_STREAM, or if it never left.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{PingPong, Reason, RecvStream, SendStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{Broken, Connection, Wire};
use super::metered::{Allowance, Metered};
use super::whole_writes::WholeWrites;
use super::{ANSWER_BODY_LENGTH_MAX, ANSWER_HEADERS_LENGTH_MAX, Answer, Context, Failure};

/// How often a connection is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a ping may go unanswered until the connection counts as dead.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What the far side may send unread on one stream, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What the far side may send unread on a connection, in bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How long streams that we reset are remembered, so that late answers on them are no protocol error.
const RESET_STREAM_MEMORY: Duration = Duration::from_secs(30);
/// How many of the far side's protocol errors on streams a connection survives.
const STREAM_ERRORS_MAX: usize = 256;

/// A request without an answer, and whether its connection is of no use for others either.
pub(super) struct Error {
    pub(super) broken: Broken,
    pub(super) ends_connection: bool,
}

/// Starts HTTP/2 on a TLS session and waits for the far side's SETTINGS: nobody may send before it is known how many
/// streams there may be, since APNs ends connections that open more. The caller bounds the time; if it gives up, the
/// driver ends by itself.
pub(super) async fn start<T>(
    io: T,
    context: &Arc<Context>,
    idle_max: Duration,
    freed: Arc<Notify>,
) -> Result<Arc<Connection>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let allowance = Allowance::default();
    let io = Metered::new(io, allowance.clone());
    let handshake = h2::client::Builder::new()
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(ANSWER_HEADERS_LENGTH_MAX)
        // A far side that hangs has all its streams reset at once.
        .max_concurrent_reset_streams(context.in_flight_max.saturating_mul(2))
        .reset_stream_duration(RESET_STREAM_MEMORY)
        .max_local_error_reset_streams(Some(STREAM_ERRORS_MAX))
        .handshake::<_, Bytes>(WholeWrites(io));
    let (sender, mut driven) = handshake.await.map_err(|_| Failure::Handshake)?;
    let ping = driven.ping_pong().ok_or(Failure::Handshake)?;
    let connection = Arc::new(Connection::new(Wire::Multiplexed(sender), 0, freed));
    // Dropped with this future, if the caller gives up before the connection is handed out.
    let unused = Unused(Some(Arc::clone(&connection)));
    let (settled, settles) = tokio::sync::oneshot::channel();
    let driver = Driver {
        connection,
        context: Arc::clone(context),
        idle_max,
        allowance,
    };
    context.tasks.spawn(driver.drive(driven, ping, settled));
    settles.await.map_err(|_| Failure::Handshake)?;
    unused.used().ok_or(Failure::Handshake)
}

/// A connection that nobody has been handed yet; dropped, it retires.
struct Unused(Option<Arc<Connection>>);

impl Unused {
    fn used(mut self) -> Option<Arc<Connection>> {
        self.0.take()
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.retire();
        }
    }
}

struct Driver {
    connection: Arc<Connection>,
    context: Arc<Context>,
    idle_max: Duration,
    allowance: Allowance,
}

impl Driver {
    /// Runs the connection to its end.
    async fn drive<T>(
        self,
        mut driven: h2::client::Connection<T, Bytes>,
        ping: PingPong,
        settled: tokio::sync::oneshot::Sender<()>,
    ) where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut settled = Some(settled);
        let moving = poll_fn(|cx| {
            self.allowance.of_requests(self.connection.requests());
            let polled = Pin::new(&mut driven).poll(cx);
            let limit = driven
                .max_concurrent_send_streams()
                .min(self.context.in_flight_max);
            if limit != self.connection.limit() {
                self.connection.set_limit(limit);
            }
            if limit > 0
                && let Some(settled) = settled.take()
            {
                // Nobody listens if the caller gave up, who has then retired the connection.
                let _ = settled.send(());
            }
            polled
        });
        tokio::select! {
            ended = moving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to a gateway ended");
                }
            }
            () = self.watch(ping) => tracing::debug!("a connection to a gateway does not answer pings"),
            () = self.context.cut.cancelled() => {}
        }
        // Requests that are still under way learn it when `driven` is dropped.
        self.connection.retire();
    }

    /// Pings; ends when no answer comes. Retires the connection when it lies idle or the client closes.
    async fn watch(&self, mut ping: PingPong) {
        let mut idle_since = Instant::now();
        let mut requests_seen = 0;
        let mut closing = pin!(self.context.closing.cancelled());
        loop {
            tokio::select! {
                () = sleep(PING_INTERVAL) => {}
                () = &mut closing, if !self.connection.is_retired() => {
                    self.connection.retire();
                    continue;
                }
            }
            let requests = self.connection.requests();
            if self.connection.taken() > 0 || requests != requests_seen {
                requests_seen = requests;
                idle_since = Instant::now();
            } else if idle_since.elapsed() >= self.idle_max {
                self.connection.retire();
            }
            match timeout(PING_TIMEOUT, ping.ping(h2::Ping::opaque())).await {
                Ok(Ok(_)) => {}
                // The connection is ending; `drive` sees it.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}

/// A request that was handed to the connection.
pub(super) struct Sent {
    response: ResponseFuture,
    stream: SendStream<Bytes>,
}

/// Sends a request.
pub(super) fn send(
    mut sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> Result<Sent, Error> {
    // An error here means that it did not leave, because the connection is ending or its stream ids are used up.
    let (response, mut stream) =
        sender
            .send_request(request, body.is_empty())
            .map_err(|_| Error {
                broken: Broken::Unprocessed,
                ends_connection: true,
            })?;
    if !body.is_empty() {
        // Fails only if the stream has ended already; then the response says why.
        let _ = stream.send_data(body, true);
    }
    Ok(Sent { response, stream })
}

impl Sent {
    /// Reads the answer. Dropping this resets the stream.
    pub(super) async fn answer(self, deadline: Instant) -> Result<Answer, Error> {
        let Self {
            response,
            mut stream,
        } = self;
        let response = match timeout_at(deadline, response).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(classify(&error)),
            Err(_) => {
                stream.send_reset(Reason::CANCEL);
                return Err(Error {
                    broken: Broken::Failed(Failure::Timeout),
                    ends_connection: false,
                });
            }
        };
        let (head, body) = response.into_parts();
        let body = if body.is_end_stream() {
            Bytes::new()
        } else {
            read(body, deadline).await
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

/// Reads a body up to its limit and the deadline. The status is known, so a body that breaks off loses nothing but itself.
async fn read(mut body: RecvStream, deadline: Instant) -> Bytes {
    let mut all = BytesMut::new();
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, body.data()).await {
        let left = ANSWER_BODY_LENGTH_MAX - all.len();
        all.extend_from_slice(&chunk[..chunk.len().min(left)]);
        if chunk.len() >= left {
            break;
        }
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    all.freeze()
}

fn classify(error: &h2::Error) -> Error {
    let reason = error.reason();
    if error.is_go_away() && error.is_remote() {
        // RFC 9113 section 6.8: only streams above the last one that is processed end so; those below it go on.
        let calm = reason == Some(Reason::ENHANCE_YOUR_CALM);
        let broken = if calm {
            Broken::Failed(Failure::StreamRefused)
        } else {
            Broken::Unprocessed
        };
        return Error {
            broken,
            ends_connection: true,
        };
    }
    if error.is_reset() {
        let refused = error.is_remote() && reason == Some(Reason::REFUSED_STREAM);
        let broken = if refused {
            Broken::Unprocessed
        } else {
            Broken::Failed(Failure::StreamReset)
        };
        return Error {
            broken,
            ends_connection: false,
        };
    }
    Error {
        broken: Broken::Failed(Failure::ConnectionLost),
        ends_connection: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    const IDLE_MAX: Duration = Duration::from_secs(120);
    /// An empty SETTINGS frame. RFC 9113 sections 4.1 and 6.5.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    async fn start_on(io: DuplexStream) -> Result<Arc<Connection>, Failure> {
        start(io, &Context::for_tests(), IDLE_MAX, Arc::default()).await
    }

    /// Sends SETTINGS, reads, and says nothing more; ends when the client leaves.
    async fn mute(mut io: DuplexStream) {
        io.write_all(&SETTINGS).await.unwrap();
        let mut sink = [0; 1024];
        while io.read(&mut sink).await.is_ok_and(|length| length > 0) {}
    }

    fn request() -> Request<()> {
        Request::post("https://push.example/").body(()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_before_the_settings_came() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let started = start_on(near);
        assert!(timeout(Duration::from_secs(10), started).await.is_err());
        // The one who waited gave up; so does the driver, which ends the connection.
        mute(far).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_answers_no_pings_is_dead() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (connection, began) = tokio::join!(
            async {
                let connection = start_on(near).await.unwrap();
                let slot = connection.try_take().unwrap();
                let began = Instant::now();
                let deadline = began + Duration::from_secs(1000);
                let result = slot.exchange(request(), Bytes::new(), deadline).await;
                assert!(matches!(
                    result,
                    Err(Broken::Failed(Failure::ConnectionLost))
                ));
                (connection, began)
            },
            mute(far)
        )
        .0;
        assert_eq!(began.elapsed(), PING_INTERVAL + PING_TIMEOUT);
        assert!(connection.is_retired());
        assert!(connection.try_take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_by_itself() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let began = Instant::now();
        let connection = Arc::new(std::sync::Mutex::new(None));
        let far = async {
            let mut server = h2::server::handshake(far).await.unwrap();
            while server.accept().await.is_some() {}
        };
        let near = async {
            *connection.lock().unwrap() = Some(start_on(near).await.unwrap());
        };
        tokio::join!(near, far);
        assert!(began.elapsed() >= IDLE_MAX);
        assert!(began.elapsed() <= IDLE_MAX + 2 * PING_INTERVAL);
        assert!(connection.lock().unwrap().take().unwrap().is_retired());
    }

    #[tokio::test(start_paused = true)]
    async fn a_retired_connection_finishes_what_is_under_way() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let far = async {
            let mut server = h2::server::handshake(far).await.unwrap();
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            let answering = async {
                sleep(Duration::from_secs(5)).await;
                respond
                    .send_response(http::Response::new(()), true)
                    .unwrap();
            };
            tokio::join!(answering, async {
                while server.accept().await.is_some() {}
            });
        };
        let near = async {
            let connection = start_on(near).await.unwrap();
            let slot = connection.try_take().unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            let retiring = async {
                sleep(Duration::from_secs(1)).await;
                connection.retire();
                assert!(connection.try_take().is_none());
            };
            let exchange = slot.exchange(request(), Bytes::new(), deadline);
            let (result, ()) = tokio::join!(exchange, retiring);
            assert_eq!(result.ok().unwrap().status, 200);
        };
        tokio::join!(near, far);
    }
}
