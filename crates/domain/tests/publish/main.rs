//! Publishes: which bodies are taken, which are refused and how, and what each gateway is given.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "a JSON literal reads best where it is written"
)]

mod bodies;
mod payloads;
mod properties;
mod support;
