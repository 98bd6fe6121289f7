//! The connections to one host, and who gets a slot on which.
//!
//! Requests fill the first connection before the next, which keeps frames in few packets; another one is made when all
//! are full, one at a time, up to the limit. Invariant: connecting goes on when the request that wanted it is dropped, and
//! each request ends with an answer or a failure within twice the request timeout.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::connection::{Broken, Connection, Slot};
use super::resolve::Asker;
use super::{
    Answer, Context, FIRST_ANSWER_TIMEOUT, Failure, GUARDED_CONNECT_TIMEOUT, Target, dial,
    multiplexed, serial,
};

/// How often a request is sent, if each time it is known not to have been processed.
const SENDS_MAX: usize = 3;
/// How long after a failed attempt to connect no other one is made.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How many requests are taken to fit on a connection before the far side has said how many. RFC 9113 section 6.5.2 asks
/// for no less.
const STREAMS_ASSUMED: usize = 100;

/// A host and the connections to it.
pub(crate) struct Destination {
    context: Arc<Context>,
    target: Target,
    /// Whether the guard has a say on its addresses.
    guarded: bool,
    /// Whether the last that was heard of the host was an answer, and not that there is no connection.
    known: AtomicBool,
    idle_max: Duration,
    state: Mutex<State>,
    freed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    connecting: bool,
    /// How many attempts to connect have failed, and the last of them.
    failures: u64,
    last_failure: Option<(Failure, Instant)>,
    /// What the far side said last.
    limit_seen: Option<usize>,
}

impl Destination {
    pub(super) fn new(
        context: Arc<Context>,
        target: Target,
        guarded: bool,
        idle_max: Duration,
    ) -> Self {
        Self {
            context,
            target,
            guarded,
            known: AtomicBool::new(false),
            idle_max,
            state: Mutex::default(),
            freed: Arc::default(),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the host has answered, and could be connected to ever since.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    fn asker(&self) -> Asker {
        match (self.guarded, self.is_known()) {
            (false, _) => Asker::Own,
            (true, true) => Asker::Known,
            (true, false) => Asker::Stranger,
        }
    }

    /// Sends a request and reads its answer. `make` is asked again if the request has to be sent again; what it cannot make
    /// is [`Failure::Malformed`].
    pub(crate) async fn send(
        self: &Arc<Self>,
        make: impl Fn() -> Option<Request<()>>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let mut timeout = self.context.request_timeout;
        if self.asker() == Asker::Stranger {
            timeout = timeout.min(FIRST_ANSWER_TIMEOUT);
        }
        for _ in 0..SENDS_MAX {
            let slot = self.slot(began + timeout).await?;
            let request = make().ok_or(Failure::Malformed)?;
            let deadline = (Instant::now() + timeout).min(began + 2 * timeout);
            match slot.exchange(request, body.clone(), deadline).await {
                Ok(answer) => {
                    // Read first, since all who send there share it.
                    if !self.is_known() {
                        self.known.store(true, Ordering::Relaxed);
                    }
                    return Ok(answer);
                }
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Unprocessed) => {}
            }
        }
        Err(Failure::StreamRefused)
    }

    /// How many requests are useful at once.
    pub(crate) fn in_flight_limit(&self) -> usize {
        let state = self.state();
        let current = state
            .connections
            .iter()
            .map(|connection| connection.limit())
            .max();
        let per_connection = current.or(state.limit_seen).unwrap_or(STREAMS_ASSUMED);
        let per_connection = per_connection.clamp(1, self.context.in_flight_max);
        per_connection.saturating_mul(self.context.connections_max)
    }

    async fn slot(self: &Arc<Self>, until: Instant) -> Result<Slot, Failure> {
        let failures_before = match self.try_slot(None) {
            Try::Slot(slot) => return Ok(slot),
            Try::Failed(failure) => return Err(failure),
            Try::Wait(failures) => failures,
        };
        let wait = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                // From here on nothing is missed, so what happened before is looked at after.
                freed.as_mut().enable();
                match self.try_slot(Some(failures_before)) {
                    Try::Slot(slot) => return Ok(slot),
                    Try::Failed(failure) => return Err(failure),
                    Try::Wait(_) => freed.await,
                }
            }
        };
        timeout_at(until, wait)
            .await
            .unwrap_or(Err(Failure::Saturated))
    }

    /// Takes a free slot; where there is none, sees to it that one will come.
    fn try_slot(self: &Arc<Self>, failures_before: Option<u64>) -> Try {
        if self.context.closing.is_cancelled() {
            return Try::Failed(Failure::Closing);
        }
        let mut state = self.state();
        state
            .connections
            .retain(|connection| !connection.is_retired());
        if let Some(slot) = state.connections.iter().find_map(Connection::try_take) {
            return Try::Slot(slot);
        }
        if state.connections.is_empty()
            && !state.connecting
            && let Some((failure, at)) = state.last_failure
        {
            let failed_while_waiting =
                failures_before.is_some_and(|before| state.failures > before);
            if failed_while_waiting || at.elapsed() < CONNECT_PAUSE {
                return Try::Failed(failure);
            }
        }
        let paused = state
            .last_failure
            .is_some_and(|(_, at)| at.elapsed() < CONNECT_PAUSE);
        if !state.connecting && !paused && state.connections.len() < self.context.connections_max {
            state.connecting = true;
            self.context.tasks.spawn(Arc::clone(self).connect());
        }
        Try::Wait(state.failures)
    }

    /// Makes one more connection.
    async fn connect(self: Arc<Self>) {
        let mut timeout = self.context.connect_timeout;
        if self.guarded {
            timeout = timeout.min(GUARDED_CONNECT_TIMEOUT);
        }
        let made = tokio::select! {
            made = timeout_at(Instant::now() + timeout, self.dial()) => {
                made.unwrap_or(Err(Failure::Connect))
            }
            () = self.context.closing.cancelled() => Err(Failure::Closing),
        };
        {
            let mut state = self.state();
            state.connecting = false;
            match made {
                Ok(connection) => {
                    state.limit_seen = Some(connection.limit());
                    state.last_failure = None;
                    state.connections.push(connection);
                }
                Err(failure) => {
                    tracing::debug!(host = self.target.host(), %failure, "no connection to a gateway");
                    self.known.store(false, Ordering::Relaxed);
                    state.failures += 1;
                    state.last_failure = Some((failure, Instant::now()));
                }
            }
        }
        self.freed.notify_waiters();
    }

    async fn dial(&self) -> Result<Arc<Connection>, Failure> {
        let freed = Arc::clone(&self.freed);
        if self.target.is_plain() {
            let io = dial::dial_plain(&self.context, &self.target, self.asker()).await?;
            return serial::start(io, &self.context, self.idle_max, freed).await;
        }
        let io = dial::dial(&self.context, &self.target, self.asker()).await?;
        let multiplexes = io.get_ref().1.alpn_protocol() == Some(b"h2");
        if multiplexes {
            multiplexed::start(io, &self.context, self.idle_max, freed).await
        } else {
            serial::start(io, &self.context, self.idle_max, freed).await
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Try {
    Slot(Slot),
    Failed(Failure),
    /// There will be news; with the number of failed attempts so far.
    Wait(u64),
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Destination({}:{})",
            self.target.host(),
            self.target.port()
        )
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        for connection in &self.state().connections {
            connection.retire();
        }
    }
}
