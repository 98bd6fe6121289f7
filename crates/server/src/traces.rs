//! Traces: a request to publish, and all that is done for the publish afterwards, told to an OpenTelemetry collector.
//!
//! Off unless an endpoint is configured; then nothing of this runs. A collector that is slow, down or hanging costs spans and
//! nothing else: they wait in a queue of bounded length, what does not fit is counted and dropped, and a stop waits
//! [`STOP_MAX`] at most. Spans never say who a user is, nor a token, nor what is in a payload.

mod export;

use std::fmt;
use std::time::Duration;

use delivery::spans::Spans;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Traces as Settings;
use export::Collector;

/// How long a stop waits for the collector to take what is left.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(3);

/// What became of spans, by `outcome`.
const SPANS_TOTAL: &str = "heliostat_trace_spans_total";

/// Traces of this process, if it makes any.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    running: Option<Running>,
}

/// What runs while traces are made.
struct Running {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running(…)")
    }
}

impl Traces {
    /// Begins, if it is configured. `tls` is how the collector is known, if it is spoken to over https.
    pub(crate) fn start(
        settings: Option<&Settings>,
        tls: impl FnOnce() -> Result<rustls::ClientConfig, gateway::GatewayError>,
    ) -> Result<Self, gateway::GatewayError> {
        let Some(settings) = settings else {
            return Ok(Self::default());
        };
        let resource = resource(&settings.service_name);
        let collector = Collector::new(settings, &resource, tls()?);
        let (queue, spans) = mpsc::channel(settings.queue_max);
        let by_ratio = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let provider = SdkTracerProvider::builder()
            // A caller that has decided about its trace has decided about ours.
            .with_sampler(Sampler::ParentBased(Box::new(by_ratio)))
            .with_resource(resource)
            .with_span_processor(Outbox { queue })
            .build();
        let scope =
            InstrumentationScope::builder("heliostat").with_version(env!("CARGO_PKG_VERSION"));
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(collector.run(spans, stopping.clone()));
        Ok(Self {
            running: Some(Running {
                tracer: provider.tracer_with_scope(scope.build()),
                provider,
                stopping,
                tasks,
            }),
        })
    }

    /// Where delivery tells what it does.
    pub(crate) fn spans(&self) -> Spans {
        let tracer = self.running.as_ref().map(|running| running.tracer.clone());
        tracer.map(Spans::of).unwrap_or_default()
    }

    /// What makes spans, if anything does.
    pub(crate) fn tracer(&self) -> Option<&SdkTracer> {
        self.running.as_ref().map(|running| &running.tracer)
    }

    /// Whether there are any.
    pub(crate) fn are_on(&self) -> bool {
        self.running.is_some()
    }

    /// Makes no more, and gives the collector [`STOP_MAX`] to take what is left.
    pub(crate) async fn stop(&self) {
        let Some(running) = &self.running else {
            return;
        };
        // Spans that end from now on are none. There is nothing in it that waits.
        let _ = running.provider.shutdown_with_timeout(Duration::ZERO);
        running.stopping.cancel();
        running.tasks.close();
        if tokio::time::timeout(STOP_MAX, running.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the collector of traces did not take the last spans in time");
        }
    }
}

/// Who tells: this process, which is another one after each start.
fn resource(service_name: &str) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service_name.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ])
        .build()
}

/// Takes spans that have ended, without ever waiting.
#[derive(Debug)]
struct Outbox {
    queue: mpsc::Sender<SpanData>,
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            count("dropped", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// So many spans had this end.
fn count(outcome: &'static str, spans: usize) {
    metrics::counter!(SPANS_TOTAL, "outcome" => outcome).increment(spans as u64);
}

/// Tells `/metrics` what the name means, and that nothing was lost so far.
pub(crate) fn describe() {
    metrics::describe_counter!(
        SPANS_TOTAL,
        "Spans of traces that the collector took, and that were dropped since it did not."
    );
    for outcome in ["exported", "dropped"] {
        count(outcome, 0);
    }
}
