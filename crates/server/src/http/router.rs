//! Which path leads where, and what every request passes through.

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::{
    Api, admin_api, cors, customer_api, device_api, health, leftover, metrics, observe, openapi,
    origin, publish_api, reporting_api,
};
use crate::config::Roles;
use crate::dashboard;

/// The whole HTTP side, or, of a node that answers no requests of others, health and metrics alone. From the outside in: where a
/// request comes from, cross-origin rules, log and counts, the bounds of a request, the routes.
pub(crate) fn router(api: Api, roles: Roles) -> Router {
    let own = if api.shared.metrics_apart {
        health_routes()
    } else {
        operations_routes()
    };
    let routes = if roles.api {
        own.route("/openapi.json", get(openapi::show))
            .merge(device_api::routes())
            .merge(publish_api::routes())
            .merge(customer_api::routes())
            .merge(reporting_api::routes())
            .merge(admin_api::routes())
            .merge(dashboard::routes(&api))
            .fallback(async || ApiError::RouteNotFound)
    } else {
        // Not 404, which tells a device that it is gone.
        own.fallback(async || ApiError::NotReady("this node delivers, and answers no requests"))
    };
    bounded(routes, api.clone())
        .layer(from_fn(cors::allow))
        .layer(from_fn_with_state(api, origin::note))
}

/// What those who watch the server are answered at an address of their own.
pub(crate) fn operations(api: Api) -> Router {
    let routes = operations_routes().fallback(async || ApiError::RouteNotFound);
    bounded(routes, api)
}

fn health_routes() -> Router<Api> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
}

fn operations_routes() -> Router<Api> {
    health_routes().route("/metrics", get(metrics::metrics))
}

/// Routes with what every request passes through.
fn bounded(routes: Router<Api>, api: Api) -> Router {
    routes
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(leftover::read))
        .layer(from_fn_with_state(api.clone(), short_enough))
        .layer(from_fn_with_state(api.clone(), in_time))
        .layer(from_fn_with_state(api.clone(), observe::observe))
        .with_state(api)
}

/// Refuses a request whose URL is too long to mean anything here.
async fn short_enough(State(api): State<Api>, request: Request, next: Next) -> Response {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    let max = api.shared.limits.url_bytes_max;
    if length > max {
        return ApiError::UrlTooLong { max }.into_response();
    }
    next.run(request).await
}

/// Ends a request that takes too long. What it was doing may or may not have happened, as with a connection that breaks.
async fn in_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    tokio::time::timeout(api.shared.limits.request_timeout, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::TooSlow.into_response())
}

/// No input is known to bring a handler down; should one be found, its caller gets an answer and the others notice nothing.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("?"), "a handler panicked");
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn a_panic_is_answered_and_does_not_spread() {
        let router: Router = Router::new()
            .route(
                "/",
                get(async || -> &'static str { panic!("not shown to callers") }),
            )
            .layer(CatchPanicLayer::custom(panicked));
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 1000)
            .await
            .unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.contains("\"error\"") && !text.contains("not shown"),
            "{text}"
        );
    }
}
