//! Delivery from an accepted publish to its last outcome: real SQLite, real TLS and HTTP/2, the emulators as gateways. Webhooks
//! are told, and slow hosts waited for, in virtual time instead.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod credentials;
mod failures;
mod fanout;
mod instances;
mod personal;
mod shutdown;
mod slow_hosts;
mod steering;
mod strangers;
mod support;
mod webhooks;
