//! What devices report back.

mod events;

use axum::Router;
use axum::routing::post;

use super::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route(
            "/reporting_api/v2/instances/{instance}/events",
            post(events::report),
        )
        // What old mobile SDKs still call.
        .route(
            "/reporting_api/v1/instances/{instance}/events",
            post(events::report),
        )
}
