//! Several nodes as processes on one PostgreSQL: killed, paused, cut off and replaced while they deliver.
//!
//! The PostgreSQL servers are real ones, each started by the test that needs it, in a directory of its own. The emulators run
//! inside the test and say what really arrived. What counts is what was answered 200, what reached the gateways, and what the
//! publishes' reports say of it; nothing looks into a node.
//!
//! `scripts/test cluster` runs them. They need the programs of PostgreSQL 15 or later.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail the test"
)]

mod balancer;
mod cut;
mod failover;
mod kills;
mod migrating;
mod paused;
mod postgres;
mod rolling;
mod rotation;
mod schemas;
mod sharing;
mod stage;
mod traces;
mod wire;

#[path = "../process/collector.rs"]
mod collector;
#[path = "../process/program.rs"]
mod program;
#[path = "../process/receipts.rs"]
mod receipts;
