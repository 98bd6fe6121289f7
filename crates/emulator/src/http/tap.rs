//! A thin layer between TLS and `h2` that can put frames of its own into the stream.
//!
//! `h2` announces SETTINGS_MAX_CONCURRENT_STREAMS once, and its GOAWAY always names the last stream it has accepted.
//! A gateway does more: Apple changes the limit while a connection lives, and goes away leaving streams
//! unprocessed. So this layer follows the frame boundaries (RFC 9113 section 4.1) in both directions, adds the limit
//! to `h2`'s first SETTINGS frame, inserts further SETTINGS and GOAWAY frames between two of `h2`'s, and takes out
//! the acknowledgements that `h2` does not expect. Invariant: a frame of `h2` is never split by one of ours.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::settings::Settings;

const HEAD_BYTES: usize = 9;
/// RFC 9113 section 3.4: the client's preface.
const PREFACE_BYTES: usize = 24;
const READ_BYTES: usize = 16 << 10;

const TYPE_HEADERS: u8 = 1;
const TYPE_SETTINGS: u8 = 4;
const TYPE_PUSH_PROMISE: u8 = 5;
const TYPE_GOAWAY: u8 = 7;
const TYPE_CONTINUATION: u8 = 9;
const FLAG_ACK: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;
const SETTING_MAX_CONCURRENT_STREAMS: u16 = 3;

/// What the connection's driver and its tap tell each other.
#[derive(Debug)]
pub(crate) struct Link {
    goaway: Mutex<Option<(u32, u32)>>,
    /// The limit the client has acknowledged, and the last stream that it opened before it did.
    limit: AtomicU32,
    limit_above: AtomicU32,
}

impl Link {
    /// Sends GOAWAY with this last stream id and error code as soon as a frame boundary allows.
    pub(crate) fn go_away(&self, last_stream_id: u32, code: u32) {
        *self.goaway.lock().unwrap_or_else(PoisonError::into_inner) = Some((last_stream_id, code));
    }

    /// Whether a client that has `open` streams may open `id`, by the limit that it has acknowledged.
    pub(crate) fn allows(&self, id: u32, open: usize) -> bool {
        id <= self.limit_above.load(Ordering::Acquire)
            || u32::try_from(open).is_ok_and(|open| open < self.limit.load(Ordering::Acquire))
    }
}

/// Follows frames through a stream of bytes.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    payload_left: usize,
    /// A header block is open: nothing may stand between HEADERS and its CONTINUATION (RFC 9113 section 6.10).
    in_headers: bool,
}

impl Frames {
    /// Takes one head byte or some payload from `bytes`; returns how much it took and whether a head is complete now.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.payload_left > 0 {
            let taken = self.payload_left.min(bytes.len());
            self.payload_left -= taken;
            return (taken, false);
        }
        let taken = (HEAD_BYTES - self.head_len).min(bytes.len());
        self.head[self.head_len..self.head_len + taken].copy_from_slice(&bytes[..taken]);
        self.head_len += taken;
        if self.head_len < HEAD_BYTES {
            return (taken, false);
        }
        self.head_len = 0;
        self.payload_left = usize::from(self.head[0]) << 16
            | usize::from(self.head[1]) << 8
            | usize::from(self.head[2]);
        if matches!(
            self.kind(),
            TYPE_HEADERS | TYPE_PUSH_PROMISE | TYPE_CONTINUATION
        ) {
            self.in_headers = self.flags() & FLAG_END_HEADERS == 0;
        }
        (taken, true)
    }

    fn at_boundary(&self) -> bool {
        self.head_len == 0 && self.payload_left == 0 && !self.in_headers
    }

    /// How many bytes surely belong to the frame at hand.
    fn certain(&self) -> usize {
        if self.payload_left > 0 {
            self.payload_left
        } else {
            HEAD_BYTES - self.head_len
        }
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn flags(&self) -> u8 {
        self.head[4]
    }

    fn stream_id(&self) -> u32 {
        u32::from_be_bytes([
            self.head[5] & 0x7f,
            self.head[6],
            self.head[7],
            self.head[8],
        ])
    }
}

/// The layer itself.
pub(crate) struct Tap<T> {
    io: T,
    settings: Arc<Settings>,
    link: Arc<Link>,

    read: Frames,
    preface_left: usize,
    scratch: Box<[u8]>,
    /// Bytes for `h2`, from `inbox_at` on.
    inbox: Vec<u8>,
    inbox_at: usize,
    highest_stream_id: u32,

    write: Frames,
    /// `h2`'s first SETTINGS frame, until it is complete.
    first: Option<Vec<u8>>,
    outbox: VecDeque<u8>,
    announced: u32,
    /// Limits on their way, oldest first. The first is answered by the acknowledgement that `h2` waits for.
    unacknowledged: VecDeque<u32>,
    first_acknowledged: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Tap<T> {
    pub(crate) fn new(io: T, settings: Arc<Settings>) -> (Self, Arc<Link>) {
        let link = Arc::new(Link {
            goaway: Mutex::new(None),
            limit: AtomicU32::new(u32::MAX),
            limit_above: AtomicU32::new(0),
        });
        let tap = Self {
            io,
            settings,
            link: Arc::clone(&link),
            read: Frames::default(),
            preface_left: PREFACE_BYTES,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            inbox: Vec::with_capacity(READ_BYTES),
            inbox_at: 0,
            highest_stream_id: 0,
            write: Frames::default(),
            first: Some(Vec::with_capacity(64)),
            outbox: VecDeque::new(),
            announced: 0,
            unacknowledged: VecDeque::new(),
            first_acknowledged: false,
        };
        (tap, link)
    }

    // --- what the client sends ---

    fn receive(&mut self, n: usize) {
        let mut at = self.preface_left.min(n);
        self.preface_left -= at;
        self.inbox.extend_from_slice(&self.scratch[..at]);
        while at < n {
            let in_payload = self.read.payload_left > 0;
            let (taken, head) = self.read.take(&self.scratch[at..n]);
            if in_payload {
                self.inbox.extend_from_slice(&self.scratch[at..at + taken]);
            }
            if head && !self.swallows() {
                self.inbox.extend_from_slice(&self.read.head);
            }
            at += taken;
        }
    }

    /// Looks at a complete head; `true` if `h2` must not see it.
    fn swallows(&mut self) -> bool {
        if self.read.kind() == TYPE_HEADERS {
            self.highest_stream_id = self.highest_stream_id.max(self.read.stream_id());
        }
        if self.read.kind() != TYPE_SETTINGS
            || self.read.flags() & FLAG_ACK == 0
            || self.read.payload_left > 0
        {
            return false;
        }
        let Some(limit) = self.unacknowledged.pop_front() else {
            return false;
        };
        self.link
            .limit_above
            .store(self.highest_stream_id, Ordering::Release);
        self.link.limit.store(limit, Ordering::Release);
        std::mem::replace(&mut self.first_acknowledged, true)
    }

    // --- what we send ---

    /// Collects `h2`'s first frame, which RFC 9113 section 3.4 makes a SETTINGS frame, and adds the limit to it.
    fn collect_first(&mut self, bytes: &[u8]) -> Option<usize> {
        let first = self.first.as_mut()?;
        let wanted = match first.get(..3) {
            Some(&[high, mid, low]) if first.len() >= HEAD_BYTES => {
                HEAD_BYTES + (usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low))
            }
            _ => HEAD_BYTES,
        };
        let taken = (wanted - first.len()).min(bytes.len());
        first.extend_from_slice(&bytes[..taken]);
        let length = usize::from(first[0]) << 16
            | usize::from(first.get(1).copied().unwrap_or(0)) << 8
            | usize::from(first.get(2).copied().unwrap_or(0));
        if first.len() >= HEAD_BYTES && first.len() == HEAD_BYTES + length {
            let mut first = self.first.take().unwrap_or_default();
            let [_, _, mid, low] = u32::try_from(length + 6).unwrap_or(u32::MAX).to_be_bytes();
            (first[1], first[2]) = (mid, low);
            self.announced = self.settings.max_concurrent_streams();
            first.extend_from_slice(&limit_setting(self.announced));
            self.unacknowledged.push_back(self.announced);
            self.outbox.extend(first);
        }
        Some(taken)
    }

    fn has_orders(&self) -> bool {
        self.announced != self.settings.max_concurrent_streams()
            || self
                .link
                .goaway
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
    }

    /// Puts our frames into the outbox if `h2` is between two frames.
    fn insert_orders(&mut self) {
        if self.first.is_some() || !self.write.at_boundary() {
            return;
        }
        let limit = self.settings.max_concurrent_streams();
        if limit != self.announced {
            self.announced = limit;
            self.unacknowledged.push_back(limit);
            self.outbox.extend([0, 0, 6, TYPE_SETTINGS, 0, 0, 0, 0, 0]);
            self.outbox.extend(limit_setting(limit));
        }
        let goaway = self
            .link
            .goaway
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((last_stream_id, code)) = goaway {
            self.outbox.extend([0, 0, 8, TYPE_GOAWAY, 0, 0, 0, 0, 0]);
            self.outbox.extend(last_stream_id.to_be_bytes());
            self.outbox.extend(code.to_be_bytes());
        }
    }

    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, self.outbox.as_slices().0))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.drain(..n);
        }
        Poll::Ready(Ok(()))
    }
}

fn limit_setting(limit: u32) -> [u8; 6] {
    let [id_high, id_low] = SETTING_MAX_CONCURRENT_STREAMS.to_be_bytes();
    let [a, b, c, d] = limit.to_be_bytes();
    [id_high, id_low, a, b, c, d]
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tap<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let waiting = &this.inbox[this.inbox_at..];
            if !waiting.is_empty() {
                let n = waiting.len().min(buf.remaining());
                buf.put_slice(&waiting[..n]);
                this.inbox_at += n;
                if this.inbox_at == this.inbox.len() {
                    this.inbox.clear();
                    this.inbox_at = 0;
                }
                return Poll::Ready(Ok(()));
            }
            let mut scratch = ReadBuf::new(&mut this.scratch);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut scratch))?;
            let n = scratch.filled().len();
            if n == 0 {
                return Poll::Ready(Ok(()));
            }
            this.receive(n);
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !buf.is_empty()
            && let Some(taken) = this.collect_first(buf)
        {
            return Poll::Ready(Ok(taken));
        }
        this.insert_orders();
        ready!(this.poll_outbox(cx))?;
        let end = if this.has_orders() {
            this.write.certain().min(buf.len())
        } else {
            buf.len()
        };
        let n = ready!(Pin::new(&mut this.io).poll_write(cx, &buf[..end]))?;
        let mut at = 0;
        while at < n {
            at += this.write.take(&buf[at..n]).0;
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.insert_orders();
        ready!(this.poll_outbox(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outbox(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
