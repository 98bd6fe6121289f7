//! `/openapi.json`: every call that this server answers, described from the handlers and the types of their answers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response as Answer, Server};
use utoipa::{IntoResponses, Modify, OpenApi as _, ToSchema};

use super::extract::json;
use super::origin::Origin;
use super::routes::calls_of;
use super::{Api, router};

pub(crate) mod path;

/// Made once, since anybody may ask for it any number of times.
static WITH_METRICS: LazyLock<OpenApi> = LazyLock::new(|| every_call(false));
/// Where metrics have an address of their own.
static WITHOUT_METRICS: LazyLock<OpenApi> = LazyLock::new(|| every_call(true));

/// `GET`.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Operations",
    operation_id = "openapi",
    summary = "This description",
    description = "A page made of it is at `/docs`.",
    responses((status = 200, body = Object, description = "OpenAPI 3.1"))
)]
pub(crate) async fn show(State(api): State<Api>, origin: Origin) -> Response {
    json(&description(&api, &origin))
}

/// The description of what this server answers.
pub(crate) fn description(api: &Api, origin: &Origin) -> OpenApi {
    let calls = if api.shared.metrics_apart {
        &*WITHOUT_METRICS
    } else {
        &*WITH_METRICS
    };
    let mut whole = calls.clone();
    // Where the reader found it, unless the operator says what the server is called.
    let found = api.shared.public_url_set.clone().or_else(|| origin.url());
    let url = found.unwrap_or_else(|| api.shared.public_url.clone());
    whole.servers = Some(vec![Server::new(url)]);
    whole
}

/// Everything but where the server is.
fn every_call(metrics_apart: bool) -> OpenApi {
    let mut whole = Described::openapi();
    whole.merge(router::calls(metrics_apart).into_description());
    for item in whole.paths.paths.values_mut() {
        calls_of(item).for_each(complete);
    }
    whole
}

/// What belongs to no single call.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Heliostat",
        description = "The APIs of Pusher Beams, and what goes beyond them. An id of an instance stands in each path; the host does not matter.",
    ),
    tags(
        (name = "Publish API", description = "What server SDKs call to publish, and what anybody with a secret key calls to see and steer what was published."),
        (name = "Device API", description = "What client SDKs call: devices, their interests, their user. Who knows a device's id may act for the device."),
        (name = "Customer API", description = "What server SDKs call to manage users. They sign Beams tokens by themselves; there is no call for it."),
        (name = "Reporting API", description = "What devices report back."),
        (name = "Admin API: instances", description = "All calls of the admin API ask for an admin token, whose scope says how far it goes."),
        (name = "Admin API: secret keys"),
        (name = "Admin API: credentials"),
        (name = "Admin API: devices"),
        (name = "Admin API: users"),
        (name = "Admin API: publishes"),
        (name = "Admin API: insights"),
        (name = "Admin API: webhooks"),
        (name = "Admin API: audit log"),
        (name = "Admin API: tokens"),
        (name = "Operations", description = "What those ask who watch the server."),
    ),
    components(schemas(Refusal)),
    modifiers(&Schemes)
)]
struct Described;

/// How callers prove themselves.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, what) in [
            ("secret_key", "A secret key of the instance."),
            (
                "beams_token",
                "A Beams token: a JWT that the app's backend signs for a user.",
            ),
            (
                "admin_token",
                "An admin token, as `heliostat admin-token create` makes it.",
            ),
        ] {
            let mut bearer = Http::new(HttpAuthScheme::Bearer);
            bearer.description = Some(what.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(bearer));
        }
    }
}

/// Adds to a call what holds for all of them.
fn complete(call: &mut Operation) {
    let answers: &mut BTreeMap<String, RefOr<Answer>> = &mut call.responses.responses;
    for (status, answer) in answers.iter_mut() {
        if let RefOr::T(answer) = answer
            && answer.description.is_empty()
        {
            answer.description = meaning(status).to_owned();
        }
    }
    let refusal = ContentBuilder::new().schema(Some(Ref::from_schema_name("Refusal")));
    let otherwise = ResponseBuilder::new()
        .description(
            "Anything else: 405, 429 with `Retry-After`, 500, or 503 with `Retry-After`, after which it is worth another attempt",
        )
        .content("application/json", refusal.build());
    answers
        .entry("default".to_owned())
        .or_insert_with(|| otherwise.build().into());
}

/// What a status means of which a call says nothing of its own.
fn meaning(status: &str) -> &'static str {
    let status = status.parse().ok();
    match status.and_then(|status| StatusCode::from_u16(status).ok()) {
        Some(StatusCode::OK) => "It is done",
        Some(StatusCode::BAD_REQUEST) => "Something in the request breaks a rule",
        Some(StatusCode::UNAUTHORIZED) => "The Authorization header has nothing that is known here",
        Some(StatusCode::FORBIDDEN) => "The scope of the token does not go so far",
        Some(StatusCode::NOT_FOUND) => "Something in the path does not exist",
        Some(StatusCode::CONFLICT) => "It does not go with how things are now",
        Some(StatusCode::UNPROCESSABLE_ENTITY) => "What the body asks for breaks a rule",
        Some(StatusCode::SERVICE_UNAVAILABLE) => "Not now",
        _ => "Otherwise",
    }
}

/// What every refusal looks like.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, written by `error.rs`")]
pub(crate) struct Refusal {
    /// What kind of refusal it is.
    error: String,
    /// What was wrong, for people.
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
