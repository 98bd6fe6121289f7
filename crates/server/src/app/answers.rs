//! Counts the bytes of answers for as long as they wait for their caller.
//!
//! A caller decides when it reads: over HTTP/2 it may ask for any number of things and let no byte of them come. What is known
//! to be small is free, and what is made while it is sent holds a piece at a time; the rest takes room until it is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::activity::{Activity, Unread};
use crate::http::ApiError;
use crate::limits::{FREE_BYTES, Held, Room};

/// An answer that counts until its last byte is sent; a 503 in its place if there is no room for it.
pub(super) fn counted(response: Response, room: &Room, activity: &Activity) -> Response {
    let length = response.body().size_hint().exact();
    let length = length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length <= FREE_BYTES {
        return response;
    }
    match room.hold(length) {
        Some(held) => response.map(|body| {
            let waiting = Arc::new((held, activity.answered()));
            Body::new(Counted { body, waiting })
        }),
        None => ApiError::Busy.into_response(),
    }
}

/// A body whose bytes count wherever they wait.
struct Counted {
    body: Body,
    waiting: Arc<(Held, Unread)>,
}

/// Some of its bytes.
struct Piece {
    bytes: Bytes,
    _waiting: Arc<(Held, Unread)>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map_ok(|frame| {
            frame.map_data(|bytes| {
                Bytes::from_owner(Piece {
                    bytes,
                    _waiting: Arc::clone(&self.waiting),
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
