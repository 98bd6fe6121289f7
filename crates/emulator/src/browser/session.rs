//! One WebSocket connection of a browser, from handshake to close.
//!
//! Owns the socket and the order of the conversation: hello comes first, then anything. Invariant: whatever a browser
//! sends, at worst its own connection ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tokio_util::sync::CancellationToken;

use super::agents::{Agents, Session};
use super::messages::{FromBrowser, ToBrowser};
use super::{FRAME_BYTES_MAX, HELLO_SECONDS_MAX};
use crate::http::HANDSHAKE_SECONDS_MAX;

const SUBPROTOCOL: &str = "push-notification";

type Socket = WebSocketStream<TcpStream>;

/// Serves one connection until the browser leaves, another of its connections takes over, or `stop` is cancelled.
pub(crate) async fn serve(
    stream: TcpStream,
    agents: Arc<Agents>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let handshake = accept_hdr_async_with_config(stream, choose_protocol, Some(config));
    let handshake = tokio::time::timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX), handshake);
    let Ok(Ok(mut socket)) = handshake.await else {
        return;
    };
    let first = tokio::time::timeout(Duration::from_secs(HELLO_SECONDS_MAX), socket.next());
    let first = tokio::select! {
        first = first => first,
        () = stop.cancelled() => return,
    };
    let Ok(Some(Ok(Message::Text(first)))) = first else {
        return;
    };
    let Some(FromBrowser::Hello { uaid }) = FromBrowser::parse(&first) else {
        return close(&mut socket, CloseCode::Protocol, "hello comes first").await;
    };
    let Some(session) = agents.hello(uaid) else {
        return close(&mut socket, CloseCode::Again, "too many browsers").await;
    };
    // Its error only says that the browser has gone.
    let _ = converse(&mut socket, &agents, &*clock, &session, &stop).await;
    agents.bye(&session);
}

#[expect(
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    reason = "tungstenite's callback has this type"
)]
fn choose_protocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    if offered
        .flat_map(|value| value.split(','))
        .any(|name| name.trim() == SUBPROTOCOL)
    {
        response.headers_mut().insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(response)
}

async fn close(socket: &mut Socket, code: CloseCode, reason: &'static str) {
    let _ = socket
        .close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }))
        .await;
}

async fn converse(
    socket: &mut Socket,
    agents: &Agents,
    clock: &dyn Clock,
    session: &Session,
    stop: &CancellationToken,
) -> Result<(), WsError> {
    let hello = ToBrowser::Hello {
        uaid: &session.uaid,
        status: 200,
        use_webpush: true,
        broadcasts: BTreeMap::new(),
    };
    socket.send(Message::text(hello.text())).await?;
    loop {
        let Some(due) = agents.take_due(session, clock.now()) else {
            close(socket, CloseCode::Normal, "another connection took over").await;
            return Ok(());
        };
        for frame in due {
            socket.send(Message::text(frame)).await?;
        }
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                None | Some(Message::Close(_)) => return Ok(()),
                Some(Message::Text(text)) => {
                    let Some(message) = FromBrowser::parse(&text) else {
                        close(socket, CloseCode::Protocol, "not a message of this protocol").await;
                        return Ok(());
                    };
                    if let Some(reply) = respond(agents, session, message) {
                        socket.send(Message::text(reply)).await?;
                    }
                }
                // Pings are answered by the library.
                Some(_) => {}
            },
            () = session.wake.notified() => {}
            () = stop.cancelled() => {
                close(socket, CloseCode::Away, "the emulator stops").await;
                return Ok(());
            }
        }
    }
}

/// Does what a message asks for; returns the answer, if it has one.
fn respond(agents: &Agents, session: &Session, message: FromBrowser) -> Option<String> {
    match message {
        FromBrowser::Register { channel_id, key } => {
            let registered = agents.register(session, &channel_id, key.as_deref());
            let (status, endpoint) = match &registered {
                Ok(endpoint) => (200, Some(endpoint.as_str())),
                Err(error) => {
                    tracing::warn!(%error, "a browser could not subscribe at the emulator");
                    (400, None)
                }
            };
            Some(
                ToBrowser::Register {
                    channel_id: &channel_id,
                    status,
                    endpoint,
                }
                .text(),
            )
        }
        FromBrowser::Unregister { channel_id } => {
            agents.unregister(session, &channel_id);
            Some(
                ToBrowser::Unregister {
                    channel_id: &channel_id,
                    status: 200,
                }
                .text(),
            )
        }
        FromBrowser::Ack { updates } => {
            for update in updates {
                agents.settle(session, &update.version, update.code, true);
            }
            None
        }
        FromBrowser::Nack { version, code } => {
            agents.settle(session, &version, code, false);
            None
        }
        FromBrowser::Ping => Some("{}".to_owned()),
        // A second hello, or what this emulator has no use for, such as broadcasts.
        FromBrowser::Hello { .. } | FromBrowser::Other => None,
    }
}
