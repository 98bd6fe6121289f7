//! A node, and what can happen to it.
//!
//! To everybody outside, a node that is gone is one whose calls never come back. So a crash is made here: every call of the
//! store and the gateways goes through the node's pulse, and with a crash they stand still for ever, wherever they are.

use std::sync::Mutex;

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Stalled,
    Gone,
}

/// Whether a node goes on.
#[derive(Debug)]
pub(crate) struct Pulse {
    state: Mutex<State>,
    goes_on: Notify,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::Running),
            goes_on: Notify::new(),
        }
    }

    /// Returns while the node runs, waits while it stalls, and never returns once it is gone.
    pub(crate) async fn beat(&self) {
        loop {
            let mut goes_on = std::pin::pin!(self.goes_on.notified());
            goes_on.as_mut().enable();
            if *self.state.lock().unwrap() == State::Running {
                return;
            }
            goes_on.await;
        }
    }

    /// Time passes for the node.
    pub(crate) async fn wait(&self, millis: usize) {
        if millis > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(millis as u64)).await;
        }
        self.beat().await;
    }

    pub(crate) fn is_gone(&self) -> bool {
        *self.state.lock().unwrap() == State::Gone
    }

    pub(crate) fn crash(&self) {
        *self.state.lock().unwrap() = State::Gone;
    }

    pub(crate) fn stall(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Running {
            *state = State::Stalled;
        }
    }

    pub(crate) fn go_on(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Stalled {
            *state = State::Running;
            self.goes_on.notify_waiters();
        }
    }
}
