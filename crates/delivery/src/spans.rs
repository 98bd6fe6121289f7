//! What a trace shows of a publish: accepting it, and each page and batch of retries that is worked on for it.
//!
//! Spans say how many and how long, by ids of instances and publishes; never whom for, nor what. A publish whose trace is
//! not recorded costs one look at an `Option` for each page, and nothing for each delivery.

use std::fmt;

use domain::instance::InstanceId;
use domain::publish::{Publish, PublishId};
use domain::trace::TraceParent;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use store::publishes::{Job, Settlement};

/// Makes spans, or none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Spans(Option<SdkTracer>);

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = self.0.is_some();
        f.debug_tuple("Spans").field(&is_on).finish()
    }
}

impl Spans {
    /// Spans of this tracer.
    pub fn of(tracer: SdkTracer) -> Self {
        Self(Some(tracer))
    }

    /// Whether there are any.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Accepting a publish; under the span of the request that is worked on, if there is one.
    pub(crate) fn accept(
        &self,
        instance: InstanceId,
        publish: PublishId,
        audience: &'static str,
    ) -> Work {
        let Some(tracer) = &self.0 else {
            return Work::untraced();
        };
        let mut work = Work::begin(tracer, "publish.accept", &Context::current());
        work.note(|| {
            vec![
                KeyValue::new("heliostat.instance", instance.to_string()),
                KeyValue::new("heliostat.publish", publish.to_string()),
                KeyValue::new("heliostat.audience", audience),
            ]
        });
        work
    }

    /// A page of a job, from reading it to settling it.
    pub(crate) fn page(&self, job: &Job) -> Work {
        let mut work = self.of_publish("publish.page", &job.publish);
        work.note(|| vec![KeyValue::new("heliostat.job", job.id.0)]);
        work
    }

    /// Retries of a publish that are sent together.
    pub(crate) fn retries(&self, publish: &Publish, count: usize) -> Work {
        let mut work = self.of_publish("publish.retries", publish);
        work.deliveries(count);
        work
    }

    fn of_publish(&self, name: &'static str, publish: &Publish) -> Work {
        let (Some(tracer), Some(parent)) = (&self.0, publish.trace) else {
            return Work::untraced();
        };
        let parent = SpanContext::new(
            TraceId::from_bytes(parent.trace()),
            SpanId::from_bytes(parent.span()),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        let context = Context::new().with_remote_span_context(parent);
        let mut work = Work::begin(tracer, name, &context);
        work.note(|| {
            vec![
                KeyValue::new("heliostat.instance", publish.instance.to_string()),
                KeyValue::new("heliostat.publish", publish.id.to_string()),
            ]
        });
        work
    }
}

/// Something that is being done, and is over when this is dropped.
pub(crate) struct Work(Option<Box<(SdkTracer, Span)>>);

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_traced = self.0.is_some();
        f.debug_tuple("Work").field(&is_traced).finish()
    }
}

impl Work {
    const fn untraced() -> Self {
        Self(None)
    }

    fn begin(tracer: &SdkTracer, name: &'static str, parent: &Context) -> Self {
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal);
        let span = tracer.build_with_context(builder, parent);
        Self(
            span.is_recording()
                .then(|| Box::new((tracer.clone(), span))),
        )
    }

    /// A part of it.
    pub(crate) fn part(&self, name: &'static str) -> Self {
        let Some((tracer, span)) = self.0.as_deref() else {
            return Self::untraced();
        };
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        Self::begin(tracer, name, &within)
    }

    /// Says how many deliveries it is about.
    pub(crate) fn deliveries(&mut self, count: usize) {
        self.note(|| vec![KeyValue::new("heliostat.deliveries", number(count))]);
    }

    /// Says more of it.
    fn note(&mut self, more: impl FnOnce() -> Vec<KeyValue>) {
        if let Some((_, span)) = self.0.as_deref_mut() {
            span.set_attributes(more());
        }
    }

    /// Says what became of the deliveries: how many had which end, by platform, and how many wait for another attempt.
    pub(crate) fn settled(&mut self, settlement: &Settlement) {
        self.note(|| {
            let mut counts: Vec<(String, i64)> = Vec::new();
            for tally in &settlement.tallies {
                let (platform, outcome) = (tally.platform.as_str(), tally.outcome.as_str());
                let name = format!("heliostat.{platform}.{outcome}");
                let count = i64::try_from(tally.count).unwrap_or(i64::MAX);
                match counts.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum = sum.saturating_add(count),
                    None => counts.push((name, count)),
                }
            }
            let counts = counts.into_iter();
            let mut counts: Vec<_> = counts.map(|(key, sum)| KeyValue::new(key, sum)).collect();
            let retries = number(settlement.retries.len());
            counts.push(KeyValue::new("heliostat.retries", retries));
            counts
        });
    }

    /// Says that it was another publish, accepted before.
    pub(crate) fn was(&mut self, before: PublishId) {
        self.note(|| {
            vec![
                KeyValue::new("heliostat.publish", before.to_string()),
                KeyValue::new("heliostat.repeated", true),
            ]
        });
    }

    /// Says that it came to nothing, and why.
    pub(crate) fn failed(&mut self, why: &'static str) {
        if let Some((_, span)) = self.0.as_deref_mut() {
            span.set_status(Status::error(why));
        }
    }

    /// What is kept with a publish, so that what is done for it later stands under this.
    pub(crate) fn parent(&self) -> Option<TraceParent> {
        let (_, span) = self.0.as_deref()?;
        let context = span.span_context();
        TraceParent::new(context.trace_id().to_bytes(), context.span_id().to_bytes())
    }
}

/// A count as attributes have it.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
