//! What a gate does with those who come, host by host.

use super::*;
use crate::membership::Sharers;

async fn enter(gate: &Arc<Gate>) -> Place {
    gate.enter(Visit::First).await.unwrap()
}

/// Whether somebody waits at the gate for a place.
async fn is_full(gate: &Arc<Gate>) -> bool {
    tokio::time::timeout(Duration::from_millis(1), gate.enter(Visit::First))
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
    let mut outside: Vec<_> = std::iter::repeat_with(|| Box::pin(gate.enter(Visit::First)))
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
            let Ok(place) = gate.enter(Visit::First).await else {
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
    assert_eq!(
        gate.enter(Visit::First).await.unwrap_err(),
        TurnedAway::Closed(CLOSED_FIRST)
    );
    tokio::time::advance(CLOSED_FIRST).await;
    let probe = enter(&gate).await;
    assert!(
        gate.enter(Visit::First).await.is_err(),
        "one probe at a time"
    );
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
        assert_eq!(
            gate.enter(Visit::First).await.unwrap_err(),
            TurnedAway::Closed(length)
        );
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
async fn a_host_that_throttles_one_at_a_time_is_left_alone_for_longer_each_time() {
    for asked in [None, Some(Duration::ZERO)] {
        let gate = Gate::new(4, Pace::default());
        let throttle = async |length: Duration| {
            tokio::time::advance(length).await;
            enter(&gate).await.leave(HostSign::Throttled(asked));
        };
        // The window is 2, then 1.
        throttle(HALVE_INTERVAL).await;
        throttle(HALVE_INTERVAL).await;
        let mut length = HALVE_INTERVAL;
        let mut closed = CLOSED_FIRST;
        for _ in 0..8 {
            throttle(length).await;
            let turned_away = gate.enter(Visit::First).await.unwrap_err();
            assert_eq!(turned_away, TurnedAway::Closed(closed));
            length = closed;
            closed = (closed * 2).min(CLOSED_MAX);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_what_was_in_flight_do_not_close_it() {
    let gate = Gate::new(2, Pace::default());
    let both = [enter(&gate).await, enter(&gate).await];
    for place in both {
        place.leave(HostSign::Throttled(None));
    }
    assert!(gate.enter(Visit::First).await.is_ok());
}

/// A host that takes so many a second, so many more at once after a quiet time, and says of all others at once that they are too many.
struct Limited {
    per_sec: f64,
    burst: f64,
    granted: f64,
    at: Instant,
    taken: u32,
}

impl Limited {
    fn answer(&mut self) -> HostSign {
        let now = Instant::now();
        let since = now.duration_since(self.at).as_secs_f64();
        self.granted = (self.granted + since * self.per_sec).min(self.burst);
        self.at = now;
        if self.granted < 1.0 {
            return HostSign::Throttled(None);
        }
        self.granted -= 1.0;
        self.taken += 1;
        HostSign::Answered
    }
}

/// How many a host takes in a minute of what 500 bring who come again and again.
async fn taken_in_a_minute(per_sec: f64, burst: f64) -> u32 {
    let gate = Gate::new(1000, Pace::default());
    let ends = Instant::now() + Duration::from_secs(60);
    let host = Arc::new(Mutex::new(Limited {
        per_sec,
        burst,
        granted: burst,
        at: Instant::now(),
        taken: 0,
    }));
    let mut visitors = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (gate, host) = (Arc::clone(&gate), Arc::clone(&host));
        visitors.spawn(async move {
            while Instant::now() < ends {
                let Ok(place) = gate.enter(Visit::First).await else {
                    tokio::time::sleep(CLOSED_FIRST).await;
                    continue;
                };
                tokio::time::sleep(Duration::from_millis(20)).await;
                let sign = host.lock().unwrap().answer();
                place.leave(sign);
                if sign != HostSign::Answered {
                    tokio::time::sleep(CLOSED_FIRST).await;
                }
            }
        });
    }
    visitors.join_all().await;
    host.lock().unwrap().taken
}

#[tokio::test(start_paused = true)]
async fn a_host_that_throttles_at_once_is_used_for_most_of_what_it_takes() {
    for (per_sec, burst) in [(1000.0, 100.0), (100.0, 10.0), (10.0, 10.0), (5.0, 1.0)] {
        let taken = f64::from(taken_in_a_minute(per_sec, burst).await);
        assert!(
            taken > 0.9 * 60.0 * per_sec,
            "{taken} at {per_sec} a second"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_names_a_time_is_left_alone_until_then() {
    let gate = Gate::new(8, Pace::default());
    let asked = Duration::from_secs(30);
    let late = enter(&gate).await;
    enter(&gate).await.leave(HostSign::Throttled(Some(asked)));
    assert_eq!(
        gate.enter(Visit::First).await.unwrap_err(),
        TurnedAway::Closed(asked)
    );
    // What was in flight when it closed does not open it.
    late.leave(HostSign::Answered);
    assert!(gate.enter(Visit::First).await.is_err());
    tokio::time::advance(asked).await;
    assert!(gate.enter(Visit::First).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_lets_the_next_one_probe() {
    let gate = Gate::new(8, Pace::default());
    fail_until_closed(&gate).await;
    tokio::time::advance(CLOSED_FIRST).await;
    drop(enter(&gate).await);
    assert!(gate.enter(Visit::First).await.is_ok());
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

/// A gate to a host that has not answered yet.
fn to_stranger(strangers: &Arc<Strangers>) -> Arc<Gate> {
    Gate::to_stranger(100, Arc::clone(strangers), false)
}

#[tokio::test(start_paused = true)]
async fn one_goes_to_a_stranger_and_all_others_once_it_has_answered() {
    let strangers = Places::default().of_instance();
    let gate = to_stranger(&strangers);
    let first = enter(&gate).await;
    let mut others: Vec<_> = std::iter::repeat_with(|| Box::pin(gate.enter(Visit::First)))
        .take(50)
        .collect();
    for other in &mut others {
        assert!(futures_util::poll!(other.as_mut()).is_pending());
    }
    first.leave(HostSign::Answered);
    let inside = futures_util::future::join_all(others).await;
    assert!(inside.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_does_not_answer_closes_its_gate_at_once() {
    let strangers = Places::default().of_instance();
    let gate = to_stranger(&strangers);
    let first = enter(&gate).await;
    let mut other = Box::pin(gate.enter(Visit::Again));
    assert!(futures_util::poll!(other.as_mut()).is_pending());
    first.leave(HostSign::Failed);
    assert_eq!(other.await.unwrap_err(), TurnedAway::Closed(CLOSED_FIRST));
    tokio::time::advance(CLOSED_FIRST).await;
    // Pages do not wait for it again, and leave all strangers to the retries.
    let page = gate.enter(Visit::First).await;
    assert_eq!(page.unwrap_err(), TurnedAway::NoPlace);
    let page = to_stranger(&strangers).enter(Visit::First).await;
    assert_eq!(page.unwrap_err(), TurnedAway::NoPlace);
    gate.enter(Visit::Again)
        .await
        .unwrap()
        .leave(HostSign::Answered);
    assert!(gate.enter(Visit::First).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_throttles_is_left_alone_and_stays_one() {
    let strangers = Places::default().of_instance();
    let gate = to_stranger(&strangers);
    let first = enter(&gate).await;
    let mut other = Box::pin(gate.enter(Visit::Again));
    assert!(futures_util::poll!(other.as_mut()).is_pending());
    first.leave(HostSign::Throttled(None));
    assert_eq!(other.await.unwrap_err(), TurnedAway::Closed(CLOSED_FIRST));
    // Pages leave all strangers to the retries.
    let page = to_stranger(&strangers).enter(Visit::First).await;
    assert_eq!(page.unwrap_err(), TurnedAway::NoPlace);
    tokio::time::advance(CLOSED_FIRST).await;
    let _full: Vec<_> = std::iter::from_fn(|| strangers.pass()).collect();
    let probe = gate.enter(Visit::Again).await;
    assert_eq!(probe.unwrap_err(), TurnedAway::NoPlace);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long_at_a_host_that_others_named() {
    let strangers = Places::default().of_instance();
    let gate = Gate::to_stranger(1, Arc::clone(&strangers), true);
    // It answers each, but so slowly that a crowd would wait for hours.
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let gate = Arc::clone(&gate);
        crowd.spawn(async move {
            let place = gate.enter(Visit::First).await?;
            tokio::time::sleep(Duration::from_secs(29)).await;
            place.leave(HostSign::Answered);
            Ok(())
        });
    }
    let began = Instant::now();
    let ends = crowd.join_all().await;
    assert!(began.elapsed() <= PATIENCE + Duration::from_secs(29));
    assert!(ends.contains(&Ok(())));
    assert!(ends.contains(&Err(TurnedAway::WaitedTooLong)));
    assert_eq!(gate.state().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn strangers_without_a_place_are_put_off_and_known_hosts_go_in() {
    let strangers = Places::default().of_instance();
    let known = Gate::to_stranger(100, Arc::clone(&strangers), true);
    let full: Vec<_> = std::iter::from_fn(|| strangers.pass()).collect();
    let gate = to_stranger(&strangers);
    let put_off = gate.enter(Visit::Again).await;
    assert_eq!(put_off.unwrap_err(), TurnedAway::NoPlace);
    let inside = [enter(&known).await, enter(&known).await];
    drop(full);
    assert!(gate.enter(Visit::Again).await.is_ok());
    drop(inside);
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_stranger_that_was_given_up_is_not_forgotten() {
    let strangers = Places::default().of_instance();
    let gate = to_stranger(&strangers);
    let first = enter(&gate).await;
    let mut others: Vec<_> = std::iter::repeat_with(|| Box::pin(gate.enter(Visit::First)))
        .take(3)
        .collect();
    for other in &mut others {
        assert!(futures_util::poll!(other.as_mut()).is_pending());
    }
    let _full: Vec<_> = std::iter::from_fn(|| strangers.pass()).collect();
    drop(first);
    // Its place was taken by others before anybody looked.
    let _taken = strangers.pass();
    for other in others {
        assert_eq!(other.await.unwrap_err(), TurnedAway::NoPlace);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_last_word_was_a_failure_is_a_stranger_again() {
    let strangers = Places::default().of_instance();
    let gate = Gate::to_stranger(100, Arc::clone(&strangers), true);
    let (failing, answering) = (enter(&gate).await, enter(&gate).await);
    failing.leave(HostSign::Failed);
    assert!(!is_full(&gate).await, "the other one may be answered");
    answering.leave(HostSign::Answered);
    enter(&gate).await.leave(HostSign::Failed);
    let _one = enter(&gate).await;
    assert!(is_full(&gate).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_asked_says_nothing_of_a_host() {
    let strangers = Places::default().of_instance();
    let gate = to_stranger(&strangers);
    enter(&gate).await.leave(HostSign::NotAsked);
    let _one = enter(&gate).await;
    assert!(is_full(&gate).await, "it is a stranger still");
}
