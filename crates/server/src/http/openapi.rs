//! `/openapi.json`: the APIs, described from their handlers and the types of their answers.

use axum::extract::State;
use axum::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Server};
use utoipa::{IntoResponses, Modify, OpenApi as _, ToSchema};

use super::extract::json;
use super::origin::Origin;
use super::{Api, admin_api, publish_api};

/// `GET`.
pub(crate) async fn show(State(api): State<Api>, origin: Origin) -> Response {
    let mut whole = whole();
    // Where the reader found it, unless the operator says what the server is called.
    let found = api.shared.public_url_set.clone().or_else(|| origin.url());
    let url = found.unwrap_or_else(|| api.shared.public_url.clone());
    whole.servers = Some(vec![Server::new(url)]);
    json(&whole)
}

/// The whole description.
fn whole() -> OpenApi {
    let mut whole = proven(publish_api::Described::openapi());
    whole.merge(proven(admin_api::Described::openapi()));
    whole
}

/// A description whose calls each say how a caller proves itself, so that it can stand beside others.
fn proven(mut openapi: OpenApi) -> OpenApi {
    let security = openapi.security.take();
    for item in openapi.paths.paths.values_mut() {
        let calls = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for call in calls.into_iter().flatten() {
            call.security.clone_from(&security);
        }
    }
    openapi
}

/// How a caller proves itself.
pub(super) struct SecretKey;

impl Modify for SecretKey {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("secret_key", scheme.clone());
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("admin_token", scheme);
    }
}

/// What every refusal looks like.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, written by `error.rs`")]
pub(super) struct Refusal {
    error: String,
    description: String,
}

/// How a call in an instance is refused whatever it is: without a token that is known, without the scope, without the instance.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described here, written by `error.rs`")]
pub(super) enum InInstance {
    #[response(status = 401)]
    Unknown(Refusal),
    #[response(status = 403)]
    OutOfScope(Refusal),
    #[response(status = 404)]
    NoInstance(Refusal),
}
