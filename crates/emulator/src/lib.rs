//! APNs, FCM and a Web Push service to develop against, over real TLS and HTTP/2.
//!
//! The emulators check what the real services check, answer the documented errors on demand, and show what arrived.
//! They are deliberately written apart from the product's own clients (another JWT library, their own Web Push
//! decryption), so that an error in one does not hide in the other. This crate knows nothing of the server, the
//! store or the gateways crate. Invariant: everything it keeps is bounded, and it listens only where it is told to.
//!
//! [`start`] runs all of them; [`run_until`] is what a command line needs. See `docs/EMULATORS.md`.

mod apns;
mod behaviour;
mod browser;
mod control;
mod emulators;
mod fcm;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
mod journal;
mod keys;
mod run;
mod settings;
mod web_push;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use behaviour::{Behaviour, Gateway, MALFORMED_BYTES_MAX, PLANS_MAX, Plan, ResetCode};
pub use emulators::{Config, Emulators, start};
pub use journal::{LEDGER_MAX, Notification, RECENT_MAX, STREAM_MAX, Totals, Verdict};
pub use run::{run_until, write_lines};
pub use settings::{Change, LATENCY_MS_MAX, MAX_CONCURRENT_STREAMS_DEFAULT};
pub use web_push::{PushSubscription, PushSubscriptionKeys, SUBSCRIPTIONS_MAX};

/// Why an emulator could not start or do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener could not bind.
    #[error("{what} cannot listen on {address}: {source}")]
    Bind {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file in the output directory could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A key in the output directory is not what it should be. Remove it to have a new one made.
    #[error("{}: {problem}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The cryptographic library failed, which it says no more about.
    #[error("cryptography failed")]
    Crypto,
    /// A request to change something is wrong.
    #[error("{0}")]
    Request(String),
    /// Notifications could not be written out.
    #[error("cannot write notifications: {0}")]
    Output(#[source] std::io::Error),
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}
