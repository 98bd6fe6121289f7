//! What can be turned on a whole gateway while it runs, and what the gateways share.
//!
//! Owns the numbers, not what they do. Invariant: a change is seen by connections that are already open;
//! [`Settings::changed`] wakes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::Error;
use crate::behaviour::{Book, Gateway};
use crate::journal::Journal;

/// Streams a client may have open on one connection unless told otherwise; Apple's usual value.
pub const MAX_CONCURRENT_STREAMS_DEFAULT: u32 = 1000;
/// The longest answer latency, in milliseconds.
pub const LATENCY_MS_MAX: u64 = 600_000;

/// The settings of one gateway.
#[derive(Debug)]
pub(crate) struct Settings {
    max_concurrent_streams: AtomicU32,
    latency_ms: AtomicU64,
    strict_token_updates: AtomicBool,
    decrypt: AtomicBool,
    changed: watch::Sender<()>,
}

/// A change to a gateway's settings; what is left out stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// SETTINGS_MAX_CONCURRENT_STREAMS, announced to open connections too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_streams: Option<u32>,
    /// How long each answer waits, at most [`LATENCY_MS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// APNs: refuse provider tokens renewed more than once in 20 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_token_updates: Option<bool>,
    /// Web Push: decrypt what comes for subscriptions whose keys the emulator holds. Turn it off for load tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decrypt: Option<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_concurrent_streams: AtomicU32::new(MAX_CONCURRENT_STREAMS_DEFAULT),
            latency_ms: AtomicU64::new(0),
            strict_token_updates: AtomicBool::new(false),
            decrypt: AtomicBool::new(true),
            changed: watch::Sender::new(()),
        }
    }
}

impl Settings {
    pub(crate) fn max_concurrent_streams(&self) -> u32 {
        self.max_concurrent_streams.load(Ordering::Acquire)
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn strict_token_updates(&self) -> bool {
        self.strict_token_updates.load(Ordering::Relaxed)
    }

    pub(crate) fn decrypt(&self) -> bool {
        self.decrypt.load(Ordering::Relaxed)
    }

    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn apply(&self, change: Change) -> Result<(), Error> {
        if change
            .latency_ms
            .is_some_and(|latency| latency > LATENCY_MS_MAX)
        {
            return Err(Error::Request(format!(
                "latency_ms must be at most {LATENCY_MS_MAX}"
            )));
        }
        if let Some(streams) = change.max_concurrent_streams {
            self.max_concurrent_streams
                .store(streams, Ordering::Release);
        }
        if let Some(latency) = change.latency_ms {
            self.latency_ms.store(latency, Ordering::Relaxed);
        }
        if let Some(strict) = change.strict_token_updates {
            self.strict_token_updates.store(strict, Ordering::Relaxed);
        }
        if let Some(decrypt) = change.decrypt {
            self.decrypt.store(decrypt, Ordering::Relaxed);
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// All values as they stand.
    pub(crate) fn read(&self) -> Change {
        Change {
            max_concurrent_streams: Some(self.max_concurrent_streams()),
            latency_ms: Some(self.latency_ms.load(Ordering::Relaxed)),
            strict_token_updates: Some(self.strict_token_updates()),
            decrypt: Some(self.decrypt()),
        }
    }
}

/// What all gateways share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) book: Book,
    pub(crate) journal: Journal,
    settings: [Arc<Settings>; Gateway::ALL.len()],
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            book: Book::default(),
            journal: Journal::new(),
            settings: Default::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn settings(&self, gateway: Gateway) -> &Arc<Settings> {
        &self.settings[gateway.index()]
    }
}
