//! `/openapi.json`: the publish API, described from its handlers and the types of their answers.
//!
//! Beams' other APIs are what Beams' documents say, and SDKs speak them; this one is also called by hand and by scripts.

use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi as _, ToSchema};

use super::extract::json;
use super::publish_api::Described;

/// `GET`.
pub(crate) async fn show() -> Response {
    json(&Described::openapi())
}

/// How a caller proves itself.
pub(super) struct SecretKey;

impl Modify for SecretKey {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("secret_key", scheme);
    }
}

/// What every refusal looks like.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, written by `error.rs`")]
pub(super) struct Refusal {
    error: String,
    description: String,
}
