//! HTTP/1.1 for far sides that negotiate no HTTP/2: one request at a time on a connection, which is used again after an
//! answer that was read whole.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Broken, Connection, Wire};
use super::metered::{Allowance, Metered};
use super::{ANSWER_BODY_LENGTH_MAX, ANSWER_HEADERS_LENGTH_MAX, Answer, Context, Failure};

/// The most headers of an answer.
const HEADERS_MAX: usize = 64;
/// How often it is looked whether a connection is still used.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Starts HTTP/1.1 on a TLS session.
pub(super) async fn start<T>(
    io: T,
    context: &Arc<Context>,
    idle_max: Duration,
    freed: Arc<Notify>,
) -> Result<Arc<Connection>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new();
    builder.max_headers(HEADERS_MAX);
    builder.max_buf_size(ANSWER_HEADERS_LENGTH_MAX as usize);
    let allowance = Allowance::default();
    let io = Metered::new(io, allowance.clone());
    let handshake = builder.handshake(TokioIo::new(io)).await;
    let (sender, driven) = handshake.map_err(|_| Failure::Handshake)?;
    let connection = Arc::new(Connection::new(Wire::Serial(sender), 1, freed));
    let shared = Arc::clone(&connection);
    let context_of_driver = Arc::clone(context);
    context.tasks.spawn(async move {
        let mut driven = pin!(driven);
        // Informational answers have no end of their own: hyper reads as many as come before the last one.
        let moving = poll_fn(|cx| {
            allowance.of_requests(shared.requests());
            driven.as_mut().poll(cx)
        });
        tokio::select! {
            // Ends once the sender is dropped and the last answer is read.
            _ = moving => {}
            () = watch(&shared, &context_of_driver, idle_max) => {}
            () = context_of_driver.cut.cancelled() => {}
        }
        shared.retire();
    });
    Ok(connection)
}

/// Retires the connection when it lies idle or the client closes; does not end.
async fn watch(connection: &Connection, context: &Context, idle_max: Duration) {
    let mut idle_since = Instant::now();
    let mut requests_seen = 0;
    while !connection.is_retired() {
        tokio::select! {
            () = sleep(IDLE_CHECK_INTERVAL) => {}
            () = context.closing.cancelled() => connection.retire(),
        }
        let requests = connection.requests();
        if connection.taken() > 0 || requests != requests_seen {
            requests_seen = requests;
            idle_since = Instant::now();
        } else if idle_since.elapsed() >= idle_max {
            connection.retire();
        }
    }
    std::future::pending::<()>().await;
}

/// An answer, with the sender if it can be used again.
pub(super) type Exchanged = Result<(Answer, Option<SendRequest<Full<Bytes>>>), Broken>;

/// Sends a request and reads its answer.
pub(super) async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<()>,
    body: Bytes,
    deadline: Instant,
) -> Exchanged {
    let lost = Broken::Failed(Failure::ConnectionLost);
    // Not ready: the far side closed the connection while it lay idle, and nothing was sent.
    match timeout_at(deadline, sender.ready()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(Broken::Unprocessed),
        Err(_) => return Err(Broken::Failed(Failure::Timeout)),
    }
    let request = origin_form(request, body).ok_or(Broken::Failed(Failure::Handshake))?;
    let response = match timeout_at(deadline, sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        // Cancelled before it was written.
        Ok(Err(error)) if error.is_canceled() => return Err(Broken::Unprocessed),
        Ok(Err(_)) => return Err(lost),
        Err(_) => return Err(Broken::Failed(Failure::Timeout)),
    };
    let (head, body) = response.into_parts();
    let (body, whole) = read(body, deadline).await;
    let answer = Answer {
        status: head.status,
        headers: head.headers,
        body,
    };
    Ok((answer, whole.then_some(sender)))
}

/// The request as HTTP/1.1 wants it: a path, and the host in a header.
fn origin_form(request: Request<()>, body: Bytes) -> Option<Request<Full<Bytes>>> {
    let (mut head, ()) = request.into_parts();
    let host = HeaderValue::from_str(head.uri.authority()?.as_str()).ok()?;
    head.headers.insert(header::HOST, host);
    head.uri = Uri::from(head.uri.path_and_query()?.clone());
    head.version = http::Version::HTTP_11;
    Some(Request::from_parts(head, Full::new(body)))
}

/// Reads a body up to its limit and the deadline, and tells whether it was read whole.
async fn read(mut body: Incoming, deadline: Instant) -> (Bytes, bool) {
    let mut all = BytesMut::new();
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(None) => return (all.freeze(), true),
            Ok(Some(Ok(frame))) => {
                let Some(chunk) = frame.data_ref() else {
                    continue;
                };
                let left = ANSWER_BODY_LENGTH_MAX - all.len();
                all.extend_from_slice(&chunk[..chunk.len().min(left)]);
                if chunk.len() >= left {
                    return (all.freeze(), false);
                }
            }
            Ok(Some(Err(_))) | Err(_) => return (all.freeze(), false),
        }
    }
}
