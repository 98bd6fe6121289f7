//! One way to serve a gateway: a [`Service`] answers requests; this room brings them to it over TLS.
//!
//! HTTP/2 is driven on `h2` itself, because the gateways must be able to misbehave: reset a stream, send GOAWAY with
//! a chosen last stream id, change SETTINGS in flight, drop the connection. HTTP/1.1 is left to hyper. It knows no
//! gateway. Invariant: whatever a peer does, at most [`BODY_BYTES_MAX`] of a body are held and at most
//! [`CONNECTIONS_MAX`] connections per listener are open.

mod h1;
mod h2_server;
mod listener;
mod tap;

use bytes::Bytes;
use h2::Reason;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use domain::clock::Timestamp;

use crate::behaviour::{Behaviour, MALFORMED_BYTES_MAX, ResetCode};
use crate::settings::Settings;

pub(crate) use listener::{Listener, Protocols};

/// The most of a request body that is read; more than any of the services takes.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The most connections per listener.
pub(crate) const CONNECTIONS_MAX: usize = 4096;
/// How long a peer may take for its TLS and HTTP/2 handshakes.
pub(crate) const HANDSHAKE_SECONDS_MAX: u64 = 10;
/// How long a connection that is to end may still finish what it has.
pub(crate) const LINGER_SECONDS_MAX: u64 = 2;

/// What answers requests. Answers are computed, not awaited: there is no I/O behind them.
pub(crate) trait Service: Send + Sync + 'static {
    /// The settings of the gateway.
    fn settings(&self) -> &Settings;

    /// Asked for each request in the order of stream ids, before its body is there: shall the connection end here,
    /// with this stream and all later ones not processed?
    fn ends_before(&self, head: &Parts) -> bool {
        let _ = head;
        false
    }

    /// The answer. `body` may be cut off at [`BODY_BYTES_MAX`] plus one byte.
    fn answer(&self, head: &Parts, body: &Bytes) -> Reply;
}

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Answer it.
    Answer(Response<Bytes>),
    /// Answer it, and then close the connection with GOAWAY.
    AnswerAndGoAway(Response<Bytes>),
    /// Never answer.
    Hang,
    /// RST_STREAM.
    Reset(Reason),
    /// Refuse the stream and go away without taking another.
    GoAway,
    /// Drop the connection.
    Cut,
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// A status that was checked to be within 200 to 599 when it came in.
pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The `Retry-After` that a behaviour asks for.
pub(crate) fn retry_after(behaviour: &Behaviour, now: Timestamp) -> Option<HeaderValue> {
    match *behaviour {
        Behaviour::Throttled {
            retry_after_date_s: Some(ahead),
            ..
        } => {
            let at = jiff::Timestamp::from_second(now.as_secs().saturating_add(i64::from(ahead)))
                .ok()?;
            HeaderValue::from_str(&at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
        }
        Behaviour::Throttled {
            retry_after_s: Some(seconds),
            ..
        }
        | Behaviour::ServerError {
            retry_after_s: Some(seconds),
            ..
        } => Some(HeaderValue::from(seconds)),
        _ => None,
    }
}

/// Adds the `Retry-After` that a behaviour asks for.
pub(crate) fn with_retry_after(
    mut response: Response<Bytes>,
    value: Option<HeaderValue>,
) -> Response<Bytes> {
    if let Some(value) = value {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

/// The behaviours that are the same for every gateway, because they are about the wire and not about the answer.
pub(crate) fn wire_reply(behaviour: &Behaviour, malformed_status: u16) -> Option<Reply> {
    Some(match behaviour {
        Behaviour::Hang => Reply::Hang,
        Behaviour::Goaway { abrupt: true } => Reply::GoAway,
        Behaviour::RstStream { code } => Reply::Reset(match code {
            ResetCode::InternalError => Reason::INTERNAL_ERROR,
            ResetCode::RefusedStream => Reason::REFUSED_STREAM,
            ResetCode::Cancel => Reason::CANCEL,
            ResetCode::EnhanceYourCalm => Reason::ENHANCE_YOUR_CALM,
            ResetCode::ProtocolError => Reason::PROTOCOL_ERROR,
        }),
        Behaviour::Cut => Reply::Cut,
        Behaviour::Malformed {
            status: code,
            bytes,
        } => Reply::Answer(malformed(
            status(code.unwrap_or(malformed_status)),
            bytes.map(|bytes| bytes.min(MALFORMED_BYTES_MAX)),
        )),
        Behaviour::Redirect { location } => {
            let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
            if let Ok(location) = HeaderValue::from_str(location) {
                response
                    .headers_mut()
                    .insert(http::header::LOCATION, location);
            }
            Reply::Answer(response)
        }
        _ => return None,
    })
}

fn malformed(code: StatusCode, bytes: Option<usize>) -> Response<Bytes> {
    match bytes {
        Some(bytes) => json(code, vec![b'x'; bytes]),
        None => json(code, Bytes::from_static(b"<html>{\"reason\":\"Bad\xff")),
    }
}
