//! What a database hands back of a publish that it has just accepted, and of a job that somebody has claimed.
//!
//! `P` is how the database finds a publish again: by its number, or by that of its instance and its own.

use std::sync::Arc;

use domain::device::DeviceOrdinal;
use domain::publish::{Publish, PublishId};

use super::Stored;
use super::cache::PublishCache;
use crate::publishes::{Accepted, Fence, Job, JobId, Page, ResolvedAudience};

/// A job just claimed, without its publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimed<P> {
    pub(crate) job: JobId,
    pub(crate) publish: P,
    pub(crate) cursor: DeviceOrdinal,
    pub(crate) end: DeviceOrdinal,
    pub(crate) fence: Fence,
}

impl<P> Claimed<P> {
    /// The job as its caller wants it.
    pub(crate) fn of(self, stored: &Stored) -> Job {
        Job {
            id: self.job,
            publish: Arc::clone(&stored.publish),
            cursor: self.cursor,
            end: self.end,
            fence: self.fence,
            audience: Arc::clone(&stored.audience),
            first_page: None,
        }
    }
}

/// What was written for an accepted publish.
#[derive(Debug)]
pub(crate) struct Created<P> {
    pub(crate) number: i64,
    pub(crate) audience: Arc<ResolvedAudience>,
    pub(crate) jobs: Vec<Claimed<P>>,
    /// The only page of the only job.
    pub(crate) first_page: Option<Page>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome<P> {
    New(Created<P>),
    Repeated(PublishId),
    KeyReused,
}

impl<P> Outcome<P> {
    /// The answer to who asked for `publish`. One that has jobs is kept at hand.
    pub(crate) fn answer(self, publish: Arc<Publish>, cache: &PublishCache) -> Accepted {
        let created = match self {
            Self::New(created) => created,
            Self::Repeated(id) => return Accepted::Repeated(id),
            Self::KeyReused => return Accepted::KeyReused,
        };
        let audience = created.audience;
        let stored = Stored { publish, audience };
        let claimed = created.jobs.into_iter();
        let mut jobs: Vec<Job> = claimed.map(|claimed| claimed.of(&stored)).collect();
        if let Some(first) = jobs.first_mut() {
            first.first_page = created.first_page;
            // Retries will ask for it.
            cache.put(created.number, stored);
        }
        Accepted::New(jobs)
    }
}
