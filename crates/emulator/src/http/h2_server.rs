//! One HTTP/2 connection, served on `h2` directly.
//!
//! The connection and all its streams run in one task, so the count of open streams is exact when a limit is
//! enforced, and nothing is left behind when the connection goes. Invariant: after an abrupt GOAWAY no stream above
//! its last stream id is answered or shown to the service.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tap::{Link, Tap};
use super::{BODY_BYTES_MAX, HANDSHAKE_SECONDS_MAX, LINGER_SECONDS_MAX, Reply, Service};
use crate::settings::Settings;

/// Wide windows: the emulated gateways do not slow senders down by flow control.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A sender that gives up on many streams at once is no attack here.
const RESET_STREAMS_MAX: usize = 20_000;

/// What a finished stream means for its connection.
enum After {
    Nothing,
    GoAway,
    GoAwayUnprocessed,
    Cut,
}

/// Serves `io` until the client leaves, the connection is told to end, or `stop` is cancelled.
pub(super) async fn serve<T, S>(
    io: T,
    service: Arc<S>,
    settings: Arc<Settings>,
    stop: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let mut changed = settings.changed();
    let (io, link) = Tap::new(io, settings);
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .handshake::<_, Bytes>(io);
    let handshake = tokio::time::timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX), handshake);
    let Ok(Ok(mut connection)) = handshake.await else {
        return;
    };
    drive(&mut connection, &service, &link, &mut changed, &stop).await;
}

async fn drive<T, S>(
    connection: &mut Connection<T, Bytes>,
    service: &Arc<S>,
    link: &Link,
    changed: &mut tokio::sync::watch::Receiver<()>,
    stop: &CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    let mut open = FuturesUnordered::new();
    // Streams above the last id of an abrupt GOAWAY: neither answered nor reset, only held until the end.
    let mut stranded = Vec::new();
    let mut last_id = 0;
    let mut leaving = false;
    let mut ends_at: Option<Instant> = None;
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else { return };
                let id = respond.stream_id().as_u32();
                if leaving {
                    stranded.push((request, respond));
                    continue;
                }
                if !link.allows(id, open.len()) {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    continue;
                }
                let (head, body) = request.into_parts();
                if service.ends_before(&head) {
                    link.go_away(last_id, Reason::NO_ERROR.into());
                    stranded.push((Request::from_parts(head, body), respond));
                    leaving = true;
                    ends_at = Some(Instant::now() + Duration::from_secs(LINGER_SECONDS_MAX));
                    continue;
                }
                last_id = id;
                open.push(exchange(Arc::clone(service), head, body, respond));
            }
            Some(after) = open.next(), if !open.is_empty() => match after {
                After::Nothing => {}
                After::Cut => return,
                After::GoAway => connection.graceful_shutdown(),
                After::GoAwayUnprocessed => {
                    link.go_away(last_id, Reason::NO_ERROR.into());
                    leaving = true;
                    ends_at = Some(Instant::now() + Duration::from_secs(LINGER_SECONDS_MAX));
                }
            },
            // The tap looks at the settings itself; it only has to be polled, which the next turn does.
            _ = changed.changed() => {}
            () = stop.cancelled(), if ends_at.is_none() => {
                if !leaving {
                    connection.graceful_shutdown();
                }
                ends_at = Some(Instant::now() + Duration::from_secs(LINGER_SECONDS_MAX));
            }
            () = until(ends_at) => return,
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// One request from its first body byte to its answer.
async fn exchange<S: Service>(
    service: Arc<S>,
    head: http::request::Parts,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
) -> After {
    let Some(body) = read(body).await else {
        return After::Nothing;
    };
    let reply = service.answer(&head, &body);
    let latency = service.settings().latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match reply {
        Reply::Answer(response) => {
            send(&mut respond, response);
            After::Nothing
        }
        Reply::AnswerAndGoAway(response) => {
            send(&mut respond, response);
            After::GoAway
        }
        Reply::Hang => {
            // Ends when the client gives the stream up.
            let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
            After::Nothing
        }
        Reply::Reset(reason) => {
            respond.send_reset(reason);
            After::Nothing
        }
        Reply::GoAway => {
            respond.send_reset(Reason::REFUSED_STREAM);
            After::GoAwayUnprocessed
        }
        Reply::Cut => After::Cut,
    }
}

/// The body, cut off after [`BODY_BYTES_MAX`] plus one byte; nothing if the client gave up.
async fn read(mut body: RecvStream) -> Option<Bytes> {
    let mut all = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        let _ = body.flow_control().release_capacity(chunk.len());
        if all.is_empty() {
            all = chunk;
        } else {
            let mut longer = BytesMut::from(all);
            longer.extend_from_slice(&chunk);
            all = longer.freeze();
        }
        if all.len() > BODY_BYTES_MAX {
            all.truncate(BODY_BYTES_MAX + 1);
            break;
        }
    }
    Some(all)
}

/// Sends an answer; an error only says that the client has gone.
fn send(respond: &mut SendResponse<Bytes>, response: Response<Bytes>) {
    let (head, body) = response.into_parts();
    let response = Response::from_parts(head, ());
    if let Ok(mut stream) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
    {
        let _ = stream.send_data(body, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::empty;
    use crate::settings::Change;
    use http::StatusCode;
    use http::request::Parts;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;

    struct Yes(Settings);

    impl Service for Yes {
        fn settings(&self) -> &Settings {
            &self.0
        }

        fn answer(&self, _: &Parts, body: &Bytes) -> Reply {
            let mut response = empty(StatusCode::OK);
            *response.body_mut() = body.clone();
            Reply::Answer(response)
        }
    }

    /// Reads and writes so many bytes at a time.
    struct Pieces(tokio::io::DuplexStream, usize);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let mut piece = vec![0; self.1.min(buf.remaining())];
            let mut read = ReadBuf::new(&mut piece);
            std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut read))?;
            buf.put_slice(read.filled());
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            let end = self.1.min(buf.len());
            Pin::new(&mut self.0).poll_write(cx, &buf[..end])
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// Frames arrive and leave in pieces of any size, and ours stand between those of `h2` all the same.
    #[tokio::test]
    async fn settings_change_under_load_whatever_the_pieces() {
        for pieces in [1, 3, 10, 17, 1000] {
            let settings = Arc::new(Settings::default());
            let (client, server) = tokio::io::duplex(1 << 16);
            let server = Pieces(server, pieces);
            let tasks = tokio_util::task::TaskTracker::new();
            let stop = CancellationToken::new();
            let service = Arc::new(Yes(Settings::default()));
            tasks.spawn(serve(server, service, Arc::clone(&settings), stop.clone()));
            let (mut sender, connection) = h2::client::handshake(client).await.unwrap();
            tasks.spawn(async move { drop(connection.await) });
            for limit in 1..30_u32 {
                settings
                    .apply(Change {
                        max_concurrent_streams: Some(limit),
                        ..Change::default()
                    })
                    .unwrap();
                sender = sender.ready().await.unwrap();
                let request = Request::post("https://localhost/").body(()).unwrap();
                let (response, mut body) = sender.send_request(request, false).unwrap();
                let sent = vec![b'x'; 100 * pieces.min(50)];
                body.send_data(sent.clone().into(), true).unwrap();
                let mut body = response.await.unwrap().into_body();
                let mut received = Vec::new();
                while let Some(chunk) = body.data().await {
                    received.extend_from_slice(&chunk.unwrap());
                }
                assert_eq!(received, sent);
            }
            let announced = async {
                while sender.current_max_send_streams() != 29 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), announced)
                .await
                .unwrap();
            drop(sender);
            stop.cancel();
            tasks.close();
            tokio::time::timeout(Duration::from_secs(30), tasks.wait())
                .await
                .unwrap();
        }
    }
}
