//! The admin API without a network: for whoever has the database in hand.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::error::ApiError;
use super::{Api, admin_api};
use crate::admin::access::Access;

/// The admin API as the command line calls it.
pub(crate) struct Local(Router);

impl Local {
    pub(crate) fn new(api: Api) -> Self {
        let router = admin_api::routes()
            .into_router()
            .fallback(async || ApiError::RouteNotFound)
            .layer(DefaultBodyLimit::disable())
            .with_state(api);
        Self(router)
    }

    /// Makes one call, as somebody who may do everything. Its status, and its body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("/admin_api/v1{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Access::COMMAND_LINE)
            .body(body);
        let Ok(request) = request else {
            return (StatusCode::BAD_REQUEST, Value::Null);
        };
        // A router cannot fail, and bodies from memory do not break.
        let Ok(response) = self.0.clone().oneshot(request).await;
        let status = response.status();
        let body = response.into_body().collect().await;
        let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}
