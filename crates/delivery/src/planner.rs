//! Makes work of a request: the publish with its id, and how it is cut into jobs.
//!
//! A job is a shard of the audience, a span of devices, not a row per recipient: a publish to a million devices costs a
//! handful of rows, however many of them fail.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::{Publish, PublishRequest};
use store::lookup::Fresh;
use store::publishes::{Lease, NewPublish, Once, Plan};

use crate::runner::Settings;

/// How many devices a page may have that is read by the transaction that accepts a publish. It holds up other writers, so
/// no more than what the devices of a few users take.
const FIRST_PAGE_MAX: usize = 32;

/// How publishes are cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planner {
    /// How many device ordinals a job spans.
    pub(crate) job_span: i64,
    /// Into how many jobs a publish is cut at most.
    pub(crate) jobs_max: usize,
    /// How many devices the first page may have that comes with a job.
    pub(crate) first_page_max: usize,
}

impl Planner {
    /// As a node is set up.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            job_span: settings.job_span,
            jobs_max: settings.jobs_per_publish_max,
            first_page_max: settings.page_length.min(FIRST_PAGE_MAX),
        }
    }

    /// A publish, ready to be accepted at `now`. With a lease, its jobs belong to this node from the start.
    pub(crate) fn plan(
        &self,
        instance: InstanceId,
        request: PublishRequest,
        place: Fresh,
        once: Option<Once>,
        now: Timestamp,
        lease: Option<Lease>,
    ) -> (NewPublish, Plan) {
        let Fresh { id, trace } = place;
        let publish = Publish {
            id,
            instance,
            accepted_at: now,
            send_at: request.send_at.map_or(now, |at| at.max(now)),
            expires_at: request.expires_at,
            payloads: request.payloads,
            trace,
        };
        let new = NewPublish {
            publish: Arc::new(publish),
            audience: request.audience,
            once,
            webhook: None,
        };
        (new, self.cut(lease))
    }

    /// How any publish is cut.
    pub(crate) const fn cut(&self, lease: Option<Lease>) -> Plan {
        Plan {
            job_span: self.job_span,
            jobs_max: self.jobs_max,
            lease,
            first_page_max: self.first_page_max,
        }
    }
}
