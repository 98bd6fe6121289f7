//! Whether the server lives, and whether it should be sent requests.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use store::Store;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiError;
use super::extract::json;
use super::openapi::Refusal;

/// How long the store may take to show that it works.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// That all is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// `GET /healthz`: 200 as long as the process answers at all.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Operations",
    operation_id = "healthz",
    summary = "Whether the process answers at all",
    responses(
        (status = 200, body = Health),
    )
)]
pub(crate) async fn healthz() -> Response {
    json(&Health { status: "ok" })
}

/// `GET /readyz`: 200 while the store can be read and written and the server is not stopping.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operations",
    operation_id = "readyz",
    summary = "Whether the server should be sent requests",
    responses(
        (status = 200, body = Health),
        (status = 503, body = Refusal, description = "The database does not work, or the server is stopping"),
    )
)]
pub(crate) async fn readyz(State(api): State<Api>) -> Result<Response, ApiError> {
    if api.is_stopping() {
        return Err(ApiError::NotReady("it is stopping"));
    }
    // Anybody may ask as often as they like.
    let checked = api.shared.checking.ask(async || check(api.store()).await);
    checked.await.map_err(ApiError::NotReady)?;
    Ok(json(&Health { status: "ready" }))
}

/// Why the store does not work, if it does not.
async fn check(store: &dyn Store) -> Result<(), &'static str> {
    match tokio::time::timeout(CHECK_TIMEOUT, store.check()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the server is not ready");
            Err("the store does not work")
        }
        Err(_) => Err("the store does not answer"),
    }
}
