//! How a publish becomes deliveries: plan, fan out, send, settle, retry.
//!
//! Knows the store, the gateways and the domain; knows nothing of HTTP servers. [`runner::Runner`] is the way in.
//!
//! Guarantee: at-least-once. What was accepted is delivered or accounted for, through a crash at any instruction; a crash
//! repeats at most the page in flight of each job.

pub mod gates;
pub mod instances;
pub mod jitter;
pub mod measure;
pub mod membership;
pub mod probe;
pub mod rotation;
pub mod runner;
pub mod shelf;
pub mod spans;
pub mod together;
pub mod trail;
pub mod vault;
pub mod webhooks;

mod fanout;
mod gate;
mod janitor;
mod lanes;
mod lease;
mod persist;
mod personal;
mod planner;
mod retry;
mod schedule;
mod sender;
mod settle;
mod shares;
