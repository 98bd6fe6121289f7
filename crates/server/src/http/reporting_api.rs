//! What devices report back.

mod events;

#[cfg(feature = "fuzzing")]
pub(crate) use events::event;

use utoipa_axum::routes;

use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(routes!(events::report))
        // What old mobile SDKs still call.
        .also_at(
            "/reporting_api/v1/instances/{instance}/events",
            "report_v1",
            routes!(events::report),
        )
}
