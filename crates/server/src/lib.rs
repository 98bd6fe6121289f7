//! The heliostat server: HTTP, configuration, logs.
//!
//! [`app::App`] is a running server, [`config::Config`] says how it runs. axum is known only in the `http` and `dashboard` modules, the
//! environment only in [`config`]. What a publish becomes is the delivery crate's business.

pub mod admin;
pub mod app;
pub mod config;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod local;
pub mod telemetry;

mod dashboard;
mod http;
pub mod limits;
mod tls;
mod traces;

pub use tls::TlsError;
