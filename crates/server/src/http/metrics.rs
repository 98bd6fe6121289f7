//! `/metrics` for Prometheus: what all rooms of the house record, and how much work waits.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use store::StoreError;
use store::publishes::{EventKind, QueueDepth};

use super::{Api, observe};

/// Upper bounds of the buckets of every duration, in seconds: from a request answered from memory to a gateway that
/// hangs until its timeout.
const DURATION_BUCKETS_SECS: [f64; 13] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0,
];

/// How long the store may take to count what waits: less than Prometheus waits for all of it.
const COUNTING_MAX: Duration = Duration::from_secs(3);

/// The version of the text that Prometheus reads.
const EXPOSITION: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// What was recorded so far. There is one recorder for the process, made at the first call.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // The only way to fail is an empty list of buckets; the default then is a summary, which is good enough.
        let builder = builder
            .set_buckets(&DURATION_BUCKETS_SECS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("somebody else records metrics already; /metrics will be empty");
        }
        observe::describe();
        delivery::measure::describe();
        crate::tls::describe();
        crate::traces::describe();
        begin_at_zero();
        handle
    })
}

/// Counters that seldom count stand at zero from the start: an alert on their growth sees none in a series that begins with one.
fn begin_at_zero() {
    delivery::measure::begin_at_zero();
    for event in [EventKind::Delivery, EventKind::Open] {
        metrics::counter!("heliostat_events_total", "event" => event.as_str()).increment(0);
    }
    metrics::counter!("heliostat_events_lost_total").increment(0);
    metrics::counter!("heliostat_http_connections_refused_total").increment(0);
    for outcome in ["used", "refused"] {
        metrics::counter!("heliostat_certificate_changes_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["issued", "failed"] {
        metrics::counter!("heliostat_acme_orders_total", "outcome" => outcome).increment(0);
    }
}

/// `GET /metrics`.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operations",
    operation_id = "metrics",
    summary = "What was counted and measured, for Prometheus",
    responses(
        (status = 200, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8", description = "Prometheus' text format; docs/OBSERVABILITY.md says what each metric is"),
    )
)]
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    // Anybody may ask as often as they like.
    let counted = api
        .shared
        .counting
        .ask(async || waiting(&api).await.map_err(Arc::new));
    let mut text = recorder().render();
    match tokio::time::timeout(COUNTING_MAX, counted).await {
        Ok(Ok((depth, waiting))) => tell_waiting(&mut text, depth, waiting),
        // What this process knows by itself is wanted most when the store fails.
        Ok(Err(error)) => tracing::warn!(%error, "the store does not say how much work waits"),
        Err(_) => tracing::warn!("the store takes too long to say how much work waits"),
    }
    ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response()
}

/// Writes how much work waits. Not recorded: where nobody knows it, what was known before must not stand there.
fn tell_waiting(text: &mut String, depth: QueueDepth, waiting: u64) {
    let mut gauge = |name, help, value: &dyn std::fmt::Display| {
        // A text takes all that is written.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"
        );
    };
    gauge("heliostat_queue_jobs", "Unfinished jobs.", &depth.jobs);
    gauge(
        "heliostat_queue_retries",
        "Deliveries that wait for another attempt.",
        &depth.retries,
    );
    gauge(
        "heliostat_queue_oldest_job_seconds",
        "Age of the oldest unfinished job.",
        &depth.oldest_job.as_secs_f64(),
    );
    gauge(
        "heliostat_webhook_requests_waiting",
        "Requests to webhooks that wait to be sent, or to be sent again.",
        &waiting,
    );
}

/// How much work waits, and how many requests to webhooks.
async fn waiting(api: &Api) -> Result<(QueueDepth, u64), StoreError> {
    let depth = api.store().queue_depth(api.now()).await?;
    Ok((depth, api.store().webhook_depth().await?))
}
