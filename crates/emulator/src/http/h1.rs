//! One HTTP/1.1 connection, for the listeners that real senders also reach without HTTP/2.
//!
//! What has no meaning without streams (RST_STREAM, abrupt GOAWAY) drops the connection; GOAWAY after an answer
//! becomes `Connection: close`. Invariant: the service cannot tell which protocol a request came by.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{BODY_BYTES_MAX, Reply, Service};

/// The service wants the connection dropped.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

/// Serves `io` until the client leaves or `stop` is cancelled.
pub(super) async fn serve<T, S>(io: T, service: Arc<S>, stop: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let answer = service_fn(move |request| exchange(Arc::clone(&service), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), answer);
    tokio::pin!(connection);
    tokio::select! {
        // How a connection ended is the client's business.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let linger = std::time::Duration::from_secs(super::LINGER_SECONDS_MAX);
    let _ = tokio::time::timeout(linger, connection).await;
}

async fn exchange<S: Service>(
    service: Arc<S>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let body = read(body).await.ok_or(Dropped)?;
    let reply = service.answer(&head, &body);
    tokio::time::sleep(service.settings().latency()).await;
    match reply {
        Reply::Answer(response) => Ok(response.map(Full::new)),
        Reply::AnswerAndGoAway(mut response) => {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            Ok(response.map(Full::new))
        }
        Reply::Hang => std::future::pending().await,
        Reply::Reset(_) | Reply::GoAway | Reply::Cut => Err(Dropped),
    }
}

/// The body, cut off after [`BODY_BYTES_MAX`] plus one byte; nothing if the client gave up.
pub(super) async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > BODY_BYTES_MAX {
            all.truncate(BODY_BYTES_MAX + 1);
            break;
        }
    }
    Some(all.freeze())
}
