//! Browsers that hold a WebSocket open and are woken through it: Firefox's push protocol.
//!
//! Owns the agents (a browser is known by its `uaid`), their channels and what waits for them. The push endpoints
//! themselves belong to the Web Push room. Invariant: a message is sent again until it is acknowledged, expires, is
//! replaced by its topic, or [`PENDING_MAX`] later ones push it out.

mod agents;
mod messages;
mod session;

pub(crate) use agents::{Agents, Push};
pub(crate) use session::serve;

/// Whether a text frame is a message that is known.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_message(text: &str) -> bool {
    messages::FromBrowser::parse(text).is_some()
}

/// How many browsers are known at once.
pub(crate) const AGENTS_MAX: usize = 10_000;
/// How many messages wait for one browser.
pub(crate) const PENDING_MAX: usize = 256;
/// How many channels (subscriptions) one browser may have.
pub(crate) const CHANNELS_MAX: usize = 1000;
/// The largest frame taken from a browser.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 10;
/// How long a browser may take for its first message.
pub(crate) const HELLO_SECONDS_MAX: u64 = 10;
