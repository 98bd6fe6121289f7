//! The server over real HTTP, as SDKs and strangers meet it. The modules mirror the URLs; [`wire`] replays what the
//! official SDKs send, to the byte.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail the test"
)]

mod admin_api;
mod configuration;
mod connections;
mod cors;
mod customer_api;
mod dashboard;
mod device_api;
mod docs;
mod limits;
mod logs;
mod metrics;
mod openapi;
mod proxies;
mod publish_api;
mod reporting_api;
mod routes;
mod strangers;
mod support;
mod trouble;
mod webhooks;
mod wire;
