//! What server SDKs call to manage users.

mod users;

#[cfg(feature = "fuzzing")]
pub(crate) use users::user_id;

use utoipa_axum::routes;

use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(routes!(users::delete))
        // The name under which the Node SDK knows the same.
        .also_at(
            "/user_api/v1/instances/{instance}/users/{*user}",
            "delete_user_by_user_api",
            routes!(users::delete),
        )
        .proven_by("secret_key")
}
