//! Calls of one kind that come at the same time, done in one transaction: what they cost the database, and the way to it, is
//! paid once for all of them.
//!
//! A call waits for nobody. The first finds the lanes free and begins alone; what comes while all lanes are busy goes with the
//! next transaction of the lane that is free first. So groups are as large as the load is heavy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::fault::{self, Fault};
use super::pool::{Sessions, Work};
use crate::StoreError;

/// How many calls one transaction takes at most.
const GROUP_MAX: usize = 256;
/// How many transactions of one kind are under way at a time: while one is being made durable, the next are at work.
const LANES: usize = 3;

/// What each call of a group is answered.
type Answers<T> = Vec<Result<T, StoreError>>;

/// Calls that wait for a lane.
pub(super) struct Group<A, T> {
    waiting: Arc<Mutex<Waiting<A, T>>>,
    length_max: usize,
    work: Work<Vec<A>, Answers<T>>,
}

struct Waiting<A, T> {
    calls: VecDeque<(A, oneshot::Sender<Result<T, StoreError>>)>,
    lanes: usize,
}

fn lock<A, T>(waiting: &Mutex<Waiting<A, T>>) -> MutexGuard<'_, Waiting<A, T>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A, T> Group<A, T>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
{
    /// `work` does a group in one transaction and answers its calls in their order. At most `length_max` wait.
    pub(super) fn new(length_max: usize, work: Work<Vec<A>, Answers<T>>) -> Self {
        let waiting = Waiting {
            calls: VecDeque::new(),
            lanes: 0,
        };
        Self {
            waiting: Arc::new(Mutex::new(waiting)),
            length_max,
            work,
        }
    }

    /// Does a call with others.
    pub(super) async fn run(&self, sessions: &Sessions, call: A) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let is_free = {
            let mut waiting = lock(&self.waiting);
            if waiting.calls.len() >= self.length_max {
                return Err(StoreError::Busy);
            }
            waiting.calls.push_back((call, answer));
            let is_free = waiting.lanes < LANES;
            waiting.lanes += usize::from(is_free);
            is_free
        };
        if is_free {
            let (waiting, work) = (Arc::clone(&self.waiting), self.work);
            let lane = sessions.lane();
            let drain = async move {
                while let Some(group) = next(&waiting) {
                    lane.transact(group, work).await;
                }
            };
            if !sessions.spawn(drain) {
                let mut waiting = lock(&self.waiting);
                waiting.lanes -= 1;
                waiting.calls.clear();
            }
        }
        answered
            .await
            .unwrap_or_else(|_| Err(fault::unavailable("the store is closed")))
    }
}

/// Calls with where their answers go.
pub(super) type Calls<A, T> = (Vec<A>, Vec<oneshot::Sender<Result<T, StoreError>>>);

/// The next group; `None` if nobody waits, and then the lane is free.
fn next<A, T>(waiting: &Mutex<Waiting<A, T>>) -> Option<Calls<A, T>> {
    let mut waiting = lock(waiting);
    if waiting.calls.is_empty() {
        waiting.lanes -= 1;
        return None;
    }
    let most = waiting.calls.len().min(GROUP_MAX);
    Some(waiting.calls.drain(..most).unzip())
}

/// What each of so many calls is told of the one fault that undid them all.
pub(super) fn share<T>(fault: Fault, calls: usize) -> Answers<T> {
    match StoreError::from(fault) {
        StoreError::Busy => (0..calls).map(|_| Err(StoreError::Busy)).collect(),
        StoreError::Corrupt(why) => (0..calls)
            .map(|_| Err(StoreError::Corrupt(why.clone())))
            .collect(),
        other => {
            let why = other.to_string();
            let mut answers: Answers<T> = (1..calls)
                .map(|_| Err(fault::unavailable(why.clone())))
                .collect();
            answers.push(Err(other));
            answers
        }
    }
}
