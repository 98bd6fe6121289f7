//! Which path leads where, and what every request passes through.

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::routes;

use super::error::ApiError;
use super::routes::Routes;
use super::{
    Api, admin_api, cors, customer_api, device_api, health, leftover, metrics, observe, openapi,
    origin, publish_api, reporting_api, traced,
};
use crate::config::Roles;
use crate::dashboard;

/// The whole HTTP side, or, of a node that answers no requests of others, health and metrics alone. From the outside in: where a
/// request comes from, cross-origin rules, log and counts, the bounds of a request, the routes.
pub(crate) fn router(api: Api, roles: Roles) -> Router {
    let routes = if roles.api {
        calls(api.shared.metrics_apart)
            .into_router()
            .merge(dashboard::routes(&api))
            .fallback(async || ApiError::RouteNotFound)
    } else {
        own(api.shared.metrics_apart)
            .into_router()
            // Not 404, which tells a device that it is gone.
            .fallback(async || ApiError::NotReady("this node delivers, and answers no requests"))
    };
    let routes = if api.shared.traces.are_on() {
        routes.layer(from_fn_with_state(api.clone(), traced::follow))
    } else {
        routes
    };
    bounded(routes, api.clone())
        .layer(from_fn(cors::allow))
        .layer(from_fn_with_state(api, origin::note))
}

/// What those who watch the server are answered at an address of their own.
pub(crate) fn operations(api: Api) -> Router {
    let routes = own(false)
        .into_router()
        .fallback(async || ApiError::RouteNotFound);
    bounded(routes, api)
}

/// All calls that a server answers, whose metrics may be at an address of their own.
pub(super) fn calls(metrics_apart: bool) -> Routes {
    publish_api::routes()
        .and(device_api::routes())
        .and(customer_api::routes())
        .and(reporting_api::routes())
        .and(admin_api::routes())
        .and(own(metrics_apart))
        .and(Routes::default().with(routes!(openapi::show)))
}

/// Calls about the server itself.
fn own(metrics_apart: bool) -> Routes {
    let health = Routes::default()
        .with(routes!(health::healthz))
        .with(routes!(health::readyz));
    if metrics_apart {
        health
    } else {
        health.with(routes!(metrics::metrics))
    }
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
    use axum::routing::get;
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
