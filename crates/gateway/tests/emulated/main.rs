//! The gateways against the emulators, over real TLS and HTTP/2: what is sent is what the services want, and what they
//! answer becomes the right outcome.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod apns;
mod fcm;
mod fixture;
mod transport;
mod web_push;
