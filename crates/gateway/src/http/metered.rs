//! Bounds what a far side may make us read.
//!
//! Streams and connections have windows for bodies, but nothing in HTTP/2 bounds frames that carry none: settings, pings,
//! resets, window updates; and nothing in either HTTP bounds informational answers (1xx). A far side that sends them without end keeps a connection alive and a processor busy for nothing
//! (CVE-2019-9512, CVE-2019-9515, CVE-2023-44487 and their like). So a connection is given an allowance of bytes, which grows with
//! each request, far above what any answer needs; when it is used up, the connection ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection may read besides its answers, in bytes: years of pings.
const CONNECTION_ALLOWANCE: u64 = 2 << 20;
/// What it may read more for each request, in bytes: the largest answer, twice.
const REQUEST_ALLOWANCE: u64 =
    2 * (super::ANSWER_BODY_LENGTH_MAX as u64 + super::ANSWER_HEADERS_LENGTH_MAX as u64);

/// How many bytes may be read on a connection altogether.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(CONNECTION_ALLOWANCE)))
    }
}

impl Allowance {
    /// So many requests were sent so far.
    pub(super) fn of_requests(&self, requests: usize) {
        let more = REQUEST_ALLOWANCE.saturating_mul(requests as u64);
        let allowed = CONNECTION_ALLOWANCE.saturating_add(more);
        self.0.store(allowed, Ordering::Relaxed);
    }
}

/// A stream that fails when more was read than is allowed.
pub(super) struct Metered<T> {
    io: T,
    read: u64,
    allowance: Allowance,
}

impl<T> Metered<T> {
    pub(super) const fn new(io: T, allowance: Allowance) -> Self {
        Self {
            io,
            read: 0,
            allowance,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read > self.allowance.0.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::Error::other("the far side sends without end")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.read += (buffer.filled().len() - before) as u64;
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
