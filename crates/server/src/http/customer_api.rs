//! What server SDKs call to manage users.

mod users;

#[cfg(feature = "fuzzing")]
pub(crate) use users::user_id;

use axum::Router;
use axum::routing::delete;

use super::Api;

pub(super) fn routes() -> Router<Api> {
    // A user id may have slashes, which one SDK does not encode: it is all that is left of the path.
    Router::new()
        .route(
            "/customer_api/v1/instances/{instance}/users/{*user}",
            delete(users::delete),
        )
        // The name under which the Node SDK knows the same.
        .route(
            "/user_api/v1/instances/{instance}/users/{*user}",
            delete(users::delete),
        )
}
