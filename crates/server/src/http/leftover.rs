//! Reads what was left unread of a request's body, so that its caller can go on using the connection.
//!
//! A request that is refused by its head is answered without a look at its body. On HTTP/1.1 the connection is of no use
//! then, and closing it silently breaks the caller's next request: the Python server SDK fails on it and never tries again.
//! Over HTTP/2 a stream ends by itself, and nothing is done. What is read here is thrown away; it is bounded in length
//! and time, and past those bounds the answer says that the connection is closed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// How much is read; far over every limit of a body.
const LENGTH_MAX: usize = 1024 * 1024;
/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Answers a request, and reads to its end.
pub(crate) async fn read(request: Request, next: Next) -> Response {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Whoever waits to be told to send the body has not sent it, and need not.
    let withheld = request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(body)));
    let lent = Body::new(body.clone());
    let mut response = next.run(Request::from_parts(head, lent)).await;
    let read = async { !withheld && body.throw_away().await };
    let read = body.is_end_stream() || tokio::time::timeout(TIME_MAX, read).await.unwrap_or(false);
    if !read {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A body that is lent to a handler, and can be read on when the handler has dropped it.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl Lent {
    fn with<T>(&self, look: impl FnOnce(&mut Body) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was read to its end within its bounds.
    async fn throw_away(&self) -> bool {
        let mut rest = self.clone();
        let mut length = 0;
        while let Some(frame) = rest.frame().await {
            let Ok(frame) = frame else { return false };
            length += frame.data_ref().map_or(0, Bytes::len);
            if length > LENGTH_MAX {
                return false;
            }
        }
        true
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
