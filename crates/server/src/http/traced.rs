//! The span of a request to publish, under the span of its caller if that sends one along.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use domain::instance::InstanceId;
use http::{HeaderMap, Method, StatusCode};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    FutureExt as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::Api;

/// Works on a request to publish under a span of its own; what it accepts finds that span as the current one. On any other
/// request it does nothing.
pub(crate) async fn follow(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(tracer) = api.shared.traces.tracer() else {
        return next.run(request).await;
    };
    let route = request.extensions().get::<MatchedPath>();
    let Some(route) = route.filter(|route| is_publishing(request.method(), route.as_str())) else {
        return next.run(request).await;
    };
    let route = route.as_str().to_owned();
    let mut known = vec![
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("http.route", route.clone()),
    ];
    // Nothing else of a path: a caller may write into it what it likes.
    if let Some(instance) = instance(request.uri().path()) {
        known.push(KeyValue::new("heliostat.instance", instance.to_string()));
    }
    let caller = Headers(request.headers());
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &caller);
    let builder = SpanBuilder::from_name(format!("POST {route}"))
        .with_kind(SpanKind::Server)
        .with_attributes(known);
    let span = tracer.build_with_context(builder, &caller);
    // One that is not recorded too: what is done under it is not recorded either.
    let context = Context::new().with_span(span);
    let response = next.run(request).with_context(context.clone()).await;
    let (span, status) = (context.span(), response.status());
    let code = i64::from(status.as_u16());
    span.set_attribute(KeyValue::new("http.response.status_code", code));
    if status.is_server_error() {
        span.set_status(Status::error(reason(status)));
    }
    span.end();
    response
}

/// Whether a route takes publishes, or asks for one to be sent again.
fn is_publishing(method: &Method, route: &str) -> bool {
    let of_an_api = route.starts_with("/publish_api/") || route.starts_with("/admin_api/");
    of_an_api && *method == Method::POST && route.contains("/publishes")
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("failed")
}

/// The instance in a path such as `/publish_api/v1/instances/{id}/…`.
fn instance(path: &str) -> Option<InstanceId> {
    let mut segments = path
        .split('/')
        .skip_while(|segment| *segment != "instances");
    InstanceId::parse(segments.nth(1)?).ok()
}

/// Headers as the propagator reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_publishes_and_what_does_not() {
        let base = "/publish_api/v1/instances/{instance}/publishes";
        assert!(is_publishing(&Method::POST, base));
        assert!(is_publishing(&Method::POST, &format!("{base}/users")));
        assert!(is_publishing(
            &Method::POST,
            &format!("{base}/{{publish}}/replay")
        ));
        assert!(!is_publishing(&Method::GET, base));
        assert!(!is_publishing(
            &Method::POST,
            "/i/{instance}/publishes/{publish}/cancel"
        ));
        let devices = "/device_api/v1/instances/{instance}/devices/{platform}";
        assert!(!is_publishing(&Method::POST, devices));
    }
}
