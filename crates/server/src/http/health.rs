//! Whether the server lives, and whether it should be sent requests.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::Api;
use super::error::ApiError;
use super::extract::json;

/// How long the store may take to show that it works.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// `GET /healthz`: 200 as long as the process answers at all.
pub(crate) async fn healthz() -> Response {
    json(&json!({"status": "ok"}))
}

/// `GET /readyz`: 200 while the store can be read and written and the server is not stopping.
pub(crate) async fn readyz(State(api): State<Api>) -> Result<Response, ApiError> {
    if api.is_stopping() {
        return Err(ApiError::NotReady("it is stopping"));
    }
    match tokio::time::timeout(CHECK_TIMEOUT, api.store().check()).await {
        Ok(Ok(())) => Ok(json(&json!({"status": "ready"}))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the server is not ready");
            Err(ApiError::NotReady("the store does not work"))
        }
        Err(_) => Err(ApiError::NotReady("the store does not answer")),
    }
}
