//! What is logged and counted of every request.
//!
//! A request is named by its route, never by its path: a path has device ids, which are capabilities, and user ids, which
//! are personal. Of headers and bodies nothing is logged at all.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use domain::instance::InstanceId;
use http::Method;
use tokio::time::Instant;

use super::Api;
use super::origin::Origin;

/// The route of a request that no route takes.
const NO_ROUTE: &str = "none";

/// Logs and counts a request.
pub(crate) async fn observe(
    State(api): State<Api>,
    origin: Origin,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let instance = instance(request.uri().path());
    let in_flight = InFlight::new();
    let response = next.run(request).await;
    drop(in_flight);

    let took = began.elapsed();
    let status = response.status().as_u16();
    let duration_ms = took.as_secs_f64() * 1000.0;
    let duration_ms = (duration_ms * 1000.0).round() / 1000.0;
    let signs_in = (method, route.as_str()) == ("POST", "/sign-in");
    if route.starts_with('/') && !route.contains("_api/") && !signs_in {
        // Probes and scrapes come every few seconds and say nothing, and what is done on pages is in the audit log.
        tracing::debug!(
            method,
            route,
            status,
            duration_ms,
            "{method} {route} {status}"
        );
    } else {
        let instance = instance.map(tracing::field::display);
        let client = api.shared.log_addresses.then_some(origin.address);
        let client = client.map(tracing::field::display);
        tracing::info!(
            method,
            route,
            status,
            duration_ms,
            instance,
            client,
            "{method} {route} {status}"
        );
    }
    let labels = [("method", method.to_owned()), ("route", route)];
    metrics::histogram!("heliostat_http_request_seconds", &labels).record(took);
    let [method, route] = labels;
    let labels = [method, route, ("status", status.to_string())];
    metrics::counter!("heliostat_http_requests_total", &labels).increment(1);
    response
}

/// Tells `/metrics` what the names mean.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "heliostat_http_requests_total",
        "Requests answered, by route, method and status."
    );
    metrics::describe_histogram!(
        "heliostat_http_request_seconds",
        metrics::Unit::Seconds,
        "How long requests took to be answered, by route and method."
    );
    metrics::describe_counter!(
        "heliostat_events_total",
        "Reports of devices, each counted once: a publish was delivered, a publish was opened."
    );
    metrics::describe_gauge!("heliostat_http_connections", "Open connections.");
    metrics::describe_gauge!(
        "heliostat_http_held_bytes",
        metrics::Unit::Bytes,
        "Bytes of bodies that have not come whole and of answers that are not read, beyond the first 4 KiB of each."
    );
    metrics::describe_counter!(
        "heliostat_http_connections_refused_total",
        "Connections closed at once because their address had as many as it may."
    );
    metrics::describe_counter!(
        "heliostat_events_lost_total",
        "Reports of devices that the store failed to count and that are not repeated."
    );
    metrics::describe_gauge!(
        "heliostat_http_requests_in_flight",
        "Requests being worked on."
    );
}

/// Counts a request as in flight until dropped, also when its caller goes away half-way.
struct InFlight;

impl InFlight {
    fn new() -> Self {
        metrics::gauge!("heliostat_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("heliostat_http_requests_in_flight").decrement(1.0);
    }
}

/// The method as a label. Callers may invent methods, and labels must be few.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// The instance in a path such as `/device_api/v1/instances/{id}/…`.
fn instance(path: &str) -> Option<InstanceId> {
    let id = path
        .split('/')
        .skip_while(|segment| *segment != "instances")
        .nth(1)?;
    InstanceId::parse(id).ok()
}
