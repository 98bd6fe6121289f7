//! How hard a host may be pressed: one gate per instance, gateway and host.
//!
//! A gate lets in as many deliveries at once as its window is wide. The window widens with every answer and halves when the
//! host throttles; too many failures in a row, or a host that names a time to come back, close the gate. A closed gate turns
//! deliveries away at once, to be retried later, so a dead host costs its own devices a delay and nobody else anything.
//! When the time is over it lets in one delivery as a probe; its answer opens the gate or closes it for longer.
//! Invariant: whoever was let in tells the gate how it went, or gives its place back by being dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway::HostSign;
use tokio::sync::Notify;
use tokio::time::Instant;

mod pace;

pub(crate) use self::pace::Pace;

/// How many failures in a row close a gate.
const FAILURES_MAX: u32 = 20;
/// How long a gate is closed the first time.
const CLOSED_FIRST: Duration = Duration::from_secs(1);
/// How long a gate is closed at most, whatever the host asks for.
const CLOSED_MAX: Duration = Duration::from_secs(60);
/// The window halves at most once in this time: the answers to what was in flight already say the same thing.
const HALVE_INTERVAL: Duration = Duration::from_millis(200);

/// How many who wait are enough to take every place that is given back.
const CROWD: usize = 64;

/// A gate to one host.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    freed: Notify,
    pace: Pace,
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

/// The gate is closed for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnedAway(pub(crate) Duration);

impl Gate {
    /// An open gate that lets in up to `window_max` at once, and no more often than its pace allows.
    pub(crate) fn new(window_max: usize, pace: Pace) -> Arc<Self> {
        let state = State {
            window: window_max.max(1),
            window_max: window_max.max(1),
            in_flight: 0,
            waiting: 0,
            failures: 0,
            halved_at: None,
            closed: None,
            next_at: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            freed: Notify::new(),
            pace,
        })
    }

    /// Waits for a place, or is turned away.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Place, TurnedAway> {
        let (place, starts_at) = match self.try_enter()? {
            Some(entered) => entered,
            None => self.wait_to_enter().await?,
        };
        if let Some(starts_at) = starts_at {
            tokio::time::sleep_until(starts_at).await;
        }
        Ok(place)
    }

    async fn wait_to_enter(self: &Arc<Self>) -> Result<(Place, Option<Instant>), TurnedAway> {
        let _waiting = Waiting::new(self);
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on no wake-up is missed, so the state is looked at after.
            freed.as_mut().enable();
            match self.try_enter()? {
                Some(entered) => return Ok(entered),
                None => freed.await,
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

    fn try_enter(self: &Arc<Self>) -> Result<Option<(Place, Option<Instant>)>, TurnedAway> {
        let mut state = self.state();
        let mut probe = false;
        // The time is asked for only where it matters, since most gates are open and have no quota.
        if let Some(closed) = &mut state.closed {
            let now = Instant::now();
            if closed.probing || now < closed.until {
                let wait = closed.until.saturating_duration_since(now);
                return Err(TurnedAway(wait.max(CLOSED_FIRST)));
            }
            closed.probing = true;
            probe = true;
        } else if state.in_flight >= state.window {
            return Ok(None);
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&self) -> Wake {
        /// The place that was given back, and the one that the window may have widened by.
        const FREED_MAX: usize = 2;
        if self.closed.is_some() && self.waiting > 0 {
            return Wake::All;
        }
        let free = self.window.saturating_sub(self.in_flight);
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
        if probe || self.failures >= FAILURES_MAX {
            self.close(Instant::now(), None);
        }
    }

    fn throttled(&mut self, asked: Option<Duration>, probe: bool) {
        let now = Instant::now();
        let halved_lately = self
            .halved_at
            .is_some_and(|at| now.duration_since(at) < HALVE_INTERVAL);
        if !halved_lately {
            self.window = (self.window / 2).max(1);
            self.halved_at = Some(now);
        }
        if probe || asked.is_some_and(|asked| !asked.is_zero()) {
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
        match sign {
            _ if stale => {}
            HostSign::Answered => state.answered(self.probe),
            HostSign::Failed => state.failed(self.probe),
            HostSign::Throttled(asked) => state.throttled(asked, self.probe),
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
mod tests {
    use super::*;
    use crate::membership::Sharers;

    async fn enter(gate: &Arc<Gate>) -> Place {
        gate.enter().await.unwrap()
    }

    /// Whether somebody waits at the gate for a place.
    async fn is_full(gate: &Arc<Gate>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), gate.enter())
            .await
            .is_err()
    }

    /// Ten deliveries a second.
    fn paced(sharers: &Sharers) -> Pace {
        Pace {
            interval: Duration::from_millis(100),
            sharers: sharers.clone(),
        }
    }

    async fn fail_until_closed(gate: &Arc<Gate>) {
        for _ in 0..FAILURES_MAX {
            enter(gate).await.leave(HostSign::Failed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_window_are_inside() {
        let gate = Gate::new(2, Pace::default());
        let (first, _second) = (enter(&gate).await, enter(&gate).await);
        assert!(is_full(&gate).await);
        first.leave(HostSign::Answered);
        assert!(!is_full(&gate).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_dropped_is_free_again() {
        let gate = Gate::new(1, Pace::default());
        drop(enter(&gate).await);
        assert!(!is_full(&gate).await);
        assert!(gate.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_those_who_wait_and_have_not_gone() {
        let gate = Gate::new(1, Pace::default());
        let inside = enter(&gate).await;
        let mut outside: Vec<_> = std::iter::repeat_with(|| Box::pin(gate.enter()))
            .take(CROWD)
            .collect();
        for visitor in &mut outside {
            assert!(!gate.is_crowded());
            assert!(futures_util::poll!(visitor.as_mut()).is_pending());
        }
        assert!(gate.is_crowded());
        outside.pop();
        assert!(!gate.is_crowded());
        drop(inside);
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_get_in_one_after_the_other_or_are_turned_away() {
        let gate = Gate::new(4, Pace::default());
        let entered = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut visitors = tokio::task::JoinSet::new();
        for number in 0..1000_u32 {
            let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
            visitors.spawn(async move {
                let Ok(place) = gate.enter().await else {
                    return false;
                };
                entered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(u64::from(number % 7))).await;
                match number {
                    // The window halves, widens again, and at last the gate closes.
                    100 => place.leave(HostSign::Throttled(None)),
                    900 => place.leave(HostSign::Throttled(Some(CLOSED_FIRST))),
                    _ if number % 5 == 0 => drop(place),
                    _ => place.leave(HostSign::Answered),
                }
                true
            });
        }
        let let_in = visitors.join_all().await;
        let let_in = let_in.into_iter().filter(|entered| *entered).count();
        assert!((900..1000).contains(&let_in), "{let_in}");
        assert_eq!(entered.load(std::sync::atomic::Ordering::Relaxed), let_in);
        assert_eq!(gate.state().waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_close_it_and_one_probe_opens_it() {
        let gate = Gate::new(100, Pace::default());
        fail_until_closed(&gate).await;
        assert_eq!(gate.enter().await.unwrap_err(), TurnedAway(CLOSED_FIRST));
        tokio::time::advance(CLOSED_FIRST).await;
        let probe = enter(&gate).await;
        assert!(gate.enter().await.is_err(), "one probe at a time");
        probe.leave(HostSign::Answered);
        // Gently: one at first, more with every answer.
        let one = enter(&gate).await;
        assert!(is_full(&gate).await);
        one.leave(HostSign::Answered);
        let _two = (enter(&gate).await, enter(&gate).await);
        assert!(is_full(&gate).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_closes_it_for_longer_but_not_for_ever() {
        let gate = Gate::new(100, Pace::default());
        fail_until_closed(&gate).await;
        let mut length = CLOSED_FIRST;
        for _ in 0..10 {
            tokio::time::advance(length).await;
            enter(&gate).await.leave(HostSign::Failed);
            length = (length * 2).min(CLOSED_MAX);
            assert_eq!(gate.enter().await.unwrap_err(), TurnedAway(length));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_keeps_it_open() {
        let gate = Gate::new(100, Pace::default());
        for turn in 0..10 * FAILURES_MAX {
            let sign = if turn % FAILURES_MAX == 0 {
                HostSign::Answered
            } else {
                HostSign::Failed
            };
            enter(&gate).await.leave(sign);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_halves_the_window_once_for_all_that_was_in_flight() {
        let gate = Gate::new(8, Pace::default());
        let mut inside = Vec::new();
        for _ in 0..8 {
            inside.push(enter(&gate).await);
        }
        for place in inside {
            place.leave(HostSign::Throttled(None));
        }
        let mut inside = Vec::new();
        for _ in 0..4 {
            inside.push(enter(&gate).await);
        }
        assert!(is_full(&gate).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_names_a_time_is_left_alone_until_then() {
        let gate = Gate::new(8, Pace::default());
        let asked = Duration::from_secs(30);
        let late = enter(&gate).await;
        enter(&gate).await.leave(HostSign::Throttled(Some(asked)));
        assert_eq!(gate.enter().await.unwrap_err(), TurnedAway(asked));
        // What was in flight when it closed does not open it.
        late.leave(HostSign::Answered);
        assert!(gate.enter().await.is_err());
        tokio::time::advance(asked).await;
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_lets_the_next_one_probe() {
        let gate = Gate::new(8, Pace::default());
        fail_until_closed(&gate).await;
        tokio::time::advance(CLOSED_FIRST).await;
        drop(enter(&gate).await);
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_allows_a_burst_and_then_spaces_deliveries() {
        let gate = Gate::new(100, paced(&Sharers::default()));
        tokio::time::advance(Duration::from_secs(10)).await;
        let begun = Instant::now();
        for _ in 0..11 {
            enter(&gate).await.leave(HostSign::Answered);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..5 {
            enter(&gate).await.leave(HostSign::Answered);
        }
        assert_eq!(begun.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_is_divided_among_the_nodes_that_live_now() {
        let sharers = Sharers::default();
        let gate = Gate::new(100, paced(&sharers));
        let five = async || {
            let begun = Instant::now();
            for _ in 0..5 {
                enter(&gate).await.leave(HostSign::Answered);
            }
            begun.elapsed()
        };
        for _ in 0..11 {
            enter(&gate).await.leave(HostSign::Answered);
        }
        assert_eq!(five().await, Duration::from_millis(500));
        sharers.set(3);
        // The first one had its time already.
        assert_eq!(five().await, Duration::from_millis(100 + 4 * 300));
        sharers.set(1);
        assert_eq!(five().await, Duration::from_millis(300 + 4 * 100));
    }
}
