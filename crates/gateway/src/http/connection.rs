//! One connection as its destination sees it: how many requests it takes, whether it still takes any, and a slot on it.
//!
//! How bytes travel is the business of `multiplexed` and `serial`. Invariant: as many slots are taken as there are
//! [`Slot`]s alive, and a slot given back wakes one who waits for it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Answer, Failure, multiplexed, serial};

/// What requests are written to.
pub(super) enum Wire {
    /// HTTP/2.
    Multiplexed(h2::client::SendRequest<Bytes>),
    /// HTTP/1.1. Taken out while a request is under way, and put back if another one may follow.
    Serial(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
}

/// Why a request on a connection had no answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Broken {
    /// It was not processed, and nothing is wrong with sending it again.
    Unprocessed,
    /// It may have been processed, or another attempt is no use now.
    Failed(Failure),
}

/// A connection, shared by its destination, its driver and the requests on it.
pub(super) struct Connection {
    /// `None` once no new request may start.
    wire: Mutex<Option<Wire>>,
    retired: AtomicBool,
    /// How many slots are taken.
    taken: AtomicUsize,
    /// How many slots there are: ours or the far side's limit, whichever is smaller.
    limit: AtomicUsize,
    /// How many requests there were, so that the driver can tell an idle connection.
    requests: AtomicUsize,
    /// Wakes those who wait for a slot on any connection of the destination.
    freed: Arc<Notify>,
}

impl Connection {
    pub(super) fn new(wire: Wire, limit: usize, freed: Arc<Notify>) -> Self {
        Self {
            wire: Mutex::new(Some(wire)),
            retired: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            requests: AtomicUsize::new(0),
            freed,
        }
    }

    /// Takes a slot, if one is free and the connection takes requests.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Slot> {
        if self.is_retired() {
            return None;
        }
        let limit = self.limit.load(Ordering::Acquire);
        let free = |taken: usize| (taken < limit).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, free)
            .ok()?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        Some(Slot {
            connection: Arc::clone(self),
        })
    }

    /// Whether no new request may start.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Lets no new request start. Requests under way go on; an HTTP/2 connection ends itself after the last.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        drop(self.wire().take());
        self.freed.notify_waiters();
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    /// Sets the number of slots; wakes those who wait if it grew.
    pub(super) fn set_limit(&self, limit: usize) {
        let before = self.limit.swap(limit, Ordering::AcqRel);
        if limit > before {
            self.freed.notify_waiters();
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn wire(&self) -> std::sync::MutexGuard<'_, Option<Wire>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one request on a connection.
pub(super) struct Slot {
    connection: Arc<Connection>,
}

impl Slot {
    /// Sends a request and reads its answer. What can be sent at once is sent before this returns: thousands of the futures are
    /// kept at a time, and need not keep their requests.
    pub(super) fn exchange(
        &self,
        request: Request<()>,
        body: Bytes,
        deadline: Instant,
    ) -> impl Future<Output = Result<Answer, Broken>> {
        let begun = self.begin(request, body, deadline);
        async move {
            match begun? {
                Begun::Multiplexed(sent) => {
                    let result = sent.answer(deadline).await;
                    result.map_err(|error| self.broken(&error))
                }
                Begun::Serial(exchange) => match exchange.await {
                    Ok((answer, Some(sender))) if !self.connection.is_retired() => {
                        *self.connection.wire() = Some(Wire::Serial(sender));
                        Ok(answer)
                    }
                    Ok((answer, _)) => {
                        self.connection.retire();
                        Ok(answer)
                    }
                    Err(broken) => {
                        self.connection.retire();
                        Err(broken)
                    }
                },
            }
        }
    }

    fn begin(&self, request: Request<()>, body: Bytes, deadline: Instant) -> Result<Begun, Broken> {
        let sender = {
            let mut wire = self.connection.wire();
            match &*wire {
                Some(Wire::Multiplexed(sender)) => sender.clone(),
                Some(Wire::Serial(_)) => match wire.take() {
                    Some(Wire::Serial(sender)) => {
                        let exchange = serial::exchange(sender, request, body, deadline);
                        return Ok(Begun::Serial(Box::pin(exchange)));
                    }
                    _ => return Err(Broken::Unprocessed),
                },
                None => return Err(Broken::Unprocessed),
            }
        };
        let sent = multiplexed::send(sender, request, body);
        sent.map(Begun::Multiplexed)
            .map_err(|error| self.broken(&error))
    }

    /// What a broken request means, after its connection was retired if that is of no use any more.
    fn broken(&self, error: &multiplexed::Error) -> Broken {
        if error.ends_connection {
            self.connection.retire();
        }
        error.broken
    }
}

/// A request under way.
enum Begun {
    Multiplexed(multiplexed::Sent),
    /// Rare enough to have a place of its own.
    Serial(Pin<Box<dyn Future<Output = serial::Exchanged> + Send>>),
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A request that was dropped in the middle has taken the wire of an HTTP/1.1 connection with it.
        let spent = self.connection.wire().is_none();
        if spent && !self.connection.is_retired() {
            self.connection.retire();
        }
        self.connection.taken.fetch_sub(1, Ordering::AcqRel);
        self.connection.freed.notify_one();
    }
}
