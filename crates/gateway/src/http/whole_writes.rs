//! Makes HTTP/2 frames travel together.
//!
//! Over a stream that can write several buffers at once, `h2` keeps the body of a request apart from its head and flushes
//! after each: over TLS that is a record and a system call per request. Without that ability it gathers frames, bodies of up
//! to a kilobyte included, into one buffer of 16 KiB, and some thirty small requests become one record. So this stream says
//! that it has not the ability.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that takes one buffer at a time.
pub(super) struct WholeWrites<T>(pub(super) T);

impl<T: AsyncRead + Unpin> AsyncRead for WholeWrites<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WholeWrites<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
