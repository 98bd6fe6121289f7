//! The real program as a process: killed, stopped and started again in the middle of its work.
//!
//! The emulators run inside the test, so that they outlive the server and can say what really arrived. Nothing here looks
//! into the server: what counts is what was answered and what reached the gateways.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail the test"
)]

mod backup;
mod collector;
mod crash;
mod dumps;
mod neighbours;
mod program;
mod receipts;
mod recovery;
mod secrets;
mod shutdown;
mod stage;
mod surroundings;
mod traces;
mod webhooks;
