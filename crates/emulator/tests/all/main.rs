//! Drives every listener of the emulators from outside, over real TLS and HTTP/2.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod apns;
mod behaviours;
mod browser;
mod control;
mod fcm;
mod load;
mod start;
mod support;
mod web_push;
mod wire;
