//! How hard a host may be pressed: one gate per instance, gateway and host.
//!
//! A gate lets in as many deliveries at once as its window is wide. The window widens with every answer and halves when the
//! host throttles; too many failures in a row, a host that names a time to come back, or one that throttles the only delivery
//! inside, close the gate. A closed gate turns deliveries away at once, to be retried later, so a dead host costs its own devices
//! a delay and nobody else anything. When the time is over it lets in one delivery as a probe; its answer opens the gate or closes
//! it for longer.
//! A host that others named and that has not answered yet is a stranger (see `strangers`): one delivery goes to it, the others wait
//! for what becomes of that, and its first failure closes the gate; to be told "less" is no answer. The answer opens the gate wide.
//! A host whose last word was a failure is a stranger again. Nobody waits for long at a host that others named, however it answers.
//!
//! Invariant: whoever was let in tells the gate how it went, or gives its place back by being dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway::HostSign;
use tokio::sync::Notify;
use tokio::time::Instant;

mod pace;
mod strangers;

pub(crate) use self::pace::Pace;
use self::strangers::Pass;
pub(crate) use self::strangers::{Places, Strangers, Visit};

/// How many failures in a row close a gate.
const FAILURES_MAX: u32 = 20;
/// How long a gate is closed the first time.
const CLOSED_FIRST: Duration = Duration::from_secs(1);
/// How long a gate is closed at most, whatever the host asks for.
const CLOSED_MAX: Duration = Duration::from_secs(60);
/// The window halves at most once in this time: the answers to what was in flight already say the same thing.
const HALVE_INTERVAL: Duration = Duration::from_millis(200);
/// How long somebody waits at most for a place at a host that others named, since meanwhile a page is not settled, or a place for
/// retries is taken. As long as the slowest request takes, so that a host which is slow today is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many who wait are enough to take every place that is given back.
const CROWD: usize = 64;

/// A gate to one host.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    freed: Notify,
    pace: Pace,
    /// Those of the instance, where the host may be one.
    strangers: Option<Arc<Strangers>>,
}

#[derive(Debug)]
struct State {
    window: usize,
    window_max: usize,
    in_flight: usize,
    /// How many wait for a place; only for them a wake-up is worth its cost.
    waiting: usize,
    failures: u32,
    halved_at: Option<Instant>,
    closed: Option<Closed>,
    /// When the next delivery may begin, under a quota.
    next_at: Option<Instant>,
    /// Whether the host has still to answer, for the first time or again. Then one delivery at most goes in.
    is_stranger: bool,
    /// The place of the delivery to a stranger.
    pass: Option<Pass>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    until: Instant,
    /// How long it is closed this time; the next time in a row it is longer.
    length: Duration,
    probing: bool,
}

/// A place inside the gate.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    probe: bool,
    told: bool,
}

/// Who of those at the gate looks again when a place was given back.
enum Wake {
    /// So many, since thousands may wait, and each that wakes in vain costs as much as one that enters.
    Some(usize),
    /// The gate is closed, and all are to be turned away.
    All,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// The gate is closed for so long.
    Closed(Duration),
    /// The host is a stranger, and there is no place for it now.
    NoPlace,
    /// So many were before it that its patience ended.
    WaitedTooLong,
}

impl Gate {
    /// An open gate that lets in up to `window_max` at once, and no more often than its pace allows.
    pub(crate) fn new(window_max: usize, pace: Pace) -> Arc<Self> {
        Self::with(window_max, pace, None, false)
    }

    /// The same for a host that others named. It is one of these strangers, unless it is known to answer.
    pub(crate) fn to_stranger(
        window_max: usize,
        strangers: Arc<Strangers>,
        is_known: bool,
    ) -> Arc<Self> {
        Self::with(window_max, Pace::default(), Some(strangers), !is_known)
    }

    fn with(
        window_max: usize,
        pace: Pace,
        strangers: Option<Arc<Strangers>>,
        is_stranger: bool,
    ) -> Arc<Self> {
        let window_max = window_max.max(1);
        let state = State {
            window: window_max,
            window_max,
            in_flight: 0,
            waiting: 0,
            failures: 0,
            halved_at: None,
            closed: None,
            next_at: None,
            is_stranger,
            pass: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            freed: Notify::new(),
            pace,
            strangers,
        })
    }

    /// Waits for a place, or is turned away.
    pub(crate) async fn enter(self: &Arc<Self>, visit: Visit) -> Result<Place, TurnedAway> {
        let (place, starts_at) = match self.try_enter(visit)? {
            Some(entered) => entered,
            None if self.strangers.is_some() => {
                tokio::time::timeout(PATIENCE, self.wait_to_enter(visit))
                    .await
                    .unwrap_or(Err(TurnedAway::WaitedTooLong))?
            }
            None => self.wait_to_enter(visit).await?,
        };
        if let Some(starts_at) = starts_at {
            tokio::time::sleep_until(starts_at).await;
        }
        Ok(place)
    }

    async fn wait_to_enter(
        self: &Arc<Self>,
        visit: Visit,
    ) -> Result<(Place, Option<Instant>), TurnedAway> {
        let _waiting = Waiting::new(self);
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on no wake-up is missed, so the state is looked at after.
            freed.as_mut().enable();
            match self.try_enter(visit) {
                Ok(Some(entered)) => return Ok(entered),
                Ok(None) => freed.await,
                Err(turned_away) => {
                    if turned_away == TurnedAway::NoPlace {
                        // Nobody went in, so nobody will come out and wake the others.
                        self.freed.notify_waiters();
                    }
                    return Err(turned_away);
                }
            }
        }
    }

    /// Whether nobody is inside and nothing is held against the host, so that it can be forgotten.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.in_flight == 0 && state.closed.is_none() && state.failures == 0
    }

    /// Whether one more at the gate would only wait, and take up room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.state().waiting >= CROWD
    }

    fn try_enter(
        self: &Arc<Self>,
        visit: Visit,
    ) -> Result<Option<(Place, Option<Instant>)>, TurnedAway> {
        let mut state = self.state();
        let mut probe = false;
        if state.is_stranger && self.are_distrusted(visit) {
            return Err(TurnedAway::NoPlace);
        }
        // The time is asked for only where it matters, since most gates are open and have no quota.
        if let Some(closed) = &state.closed {
            let now = Instant::now();
            if closed.probing || now < closed.until {
                let wait = closed.until.saturating_duration_since(now);
                return Err(TurnedAway::Closed(wait.max(CLOSED_FIRST)));
            }
            probe = true;
        } else if state.in_flight >= state.room() {
            return Ok(None);
        }
        if state.is_stranger {
            let pass = self.strangers.as_ref().and_then(|all| all.pass());
            state.pass = Some(pass.ok_or(TurnedAway::NoPlace)?);
        }
        if let Some(closed) = &mut state.closed {
            closed.probing = true;
        }
        state.in_flight += 1;
        let starts_at = self.pace.reserve(&mut state.next_at);
        let place = Place {
            gate: Arc::clone(self),
            probe,
            told: false,
        };
        Ok(Some((place, starts_at)))
    }

    fn are_distrusted(&self, visit: Visit) -> bool {
        let strangers = self.strangers.as_ref();
        strangers.is_some_and(|strangers| strangers.are_distrusted(visit))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many may be inside.
    fn room(&self) -> usize {
        if self.is_stranger { 1 } else { self.window }
    }

    fn wake(&self) -> Wake {
        /// The place that was given back, and the one that the window may have widened by.
        const FREED_MAX: usize = 2;
        if self.closed.is_some() && self.waiting > 0 {
            return Wake::All;
        }
        let free = self.room().saturating_sub(self.in_flight);
        Wake::Some(free.min(self.waiting).min(FREED_MAX))
    }

    fn answered(&mut self, probe: bool) {
        self.failures = 0;
        if probe {
            self.closed = None;
            // The host has just come back: begin gently.
            self.window = 1;
        } else {
            self.window = (self.window + 1).min(self.window_max);
        }
    }

    fn failed(&mut self, probe: bool) {
        self.failures = self.failures.saturating_add(1);
        if probe || self.is_stranger || self.failures >= FAILURES_MAX {
            self.close(Instant::now(), None);
        }
    }

    fn throttled(&mut self, asked: Option<Duration>, probe: bool) {
        let now = Instant::now();
        let asked = asked.filter(|asked| !asked.is_zero());
        let halved_lately = self
            .halved_at
            .is_some_and(|at| now.duration_since(at) < HALVE_INTERVAL);
        // Pressed less than by one at a time it can only be left alone. Otherwise one that takes its time to say so would hold up
        // all who wait, one after the other.
        let is_least = self.room() == 1 && !halved_lately;
        if !halved_lately {
            self.window = (self.window / 2).max(1);
            self.halved_at = Some(now);
        }
        if probe || is_least || asked.is_some() {
            self.close(now, asked);
        }
    }

    fn close(&mut self, now: Instant, asked: Option<Duration>) {
        let longer = self
            .closed
            .map_or(CLOSED_FIRST, |closed| closed.length.saturating_mul(2));
        let length = asked.unwrap_or(longer).clamp(CLOSED_FIRST, CLOSED_MAX);
        self.closed = Some(Closed {
            until: now + length,
            length,
            probing: false,
        });
    }
}

impl Place {
    /// Gives the place back and tells how it went.
    pub(crate) fn leave(mut self, sign: HostSign) {
        self.told = true;
        let mut state = self.gate.state();
        // What was let in before the gate closed says nothing new of a host that is closed already.
        let stale = state.closed.is_some() && !self.probe;
        let was_stranger = state.is_stranger;
        match sign {
            HostSign::NotAsked => self.told = false,
            _ if stale => {}
            HostSign::Answered => state.answered(self.probe),
            HostSign::Failed => state.failed(self.probe),
            HostSign::Throttled(asked) => state.throttled(asked, self.probe),
        }
        let Some(strangers) = &self.gate.strangers else {
            return;
        };
        match sign {
            HostSign::NotAsked => {}
            HostSign::Answered => state.is_stranger = false,
            HostSign::Failed | HostSign::Throttled(_) if was_stranger => strangers.disappoint(),
            HostSign::Throttled(_) => {}
            // Nobody else is inside who may still be answered.
            HostSign::Failed => state.is_stranger = state.in_flight == 1,
        }
        if was_stranger && !state.is_stranger {
            // All of them fit in now, and not only the two that a place given back lets look.
            self.gate.freed.notify_waiters();
        }
    }
}

/// Somebody at the gate.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.state().waiting += 1;
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let wake = {
            let mut state = self.gate.state();
            state.in_flight -= 1;
            state.pass = None;
            // A probe that was given up says nothing; the next one may probe.
            if self.probe
                && !self.told
                && let Some(closed) = &mut state.closed
            {
                closed.probing = false;
            }
            state.wake()
        };
        match wake {
            Wake::Some(number) => (0..number).for_each(|_| self.gate.freed.notify_one()),
            Wake::All => self.gate.freed.notify_waiters(),
        }
    }
}

#[cfg(test)]
mod tests;
