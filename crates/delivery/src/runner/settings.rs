//! How a node delivers: its bounds, its times, and the parts that are made of them. Nothing runs here.

use std::sync::Arc;
use std::time::Duration;

use domain::backoff::Backoff;
use domain::clock::Clock;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::fanout::Fanout;
use crate::gates::{Gates, HostLimits};
use crate::instances::Instances;
use crate::janitor::Janitor;
use crate::jitter::Jitter;
use crate::lease::Leases;
use crate::measure::Attempts;
use crate::membership::{Membership, Sharers};
use crate::sender::Sender;
use crate::spans::Spans;
use crate::trail::Trail;
use crate::webhooks::WebhookSettings;

/// How a node delivers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether this node delivers. One that does not accepts publishes and leaves all work to those that do.
    pub is_worker: bool,
    /// Devices per page.
    pub page_length: usize,
    /// Deliveries in flight per job at most, whatever the gateways could take.
    pub in_flight_max: usize,
    /// How hard any host may be pressed.
    pub hosts: HostLimits,
    /// Jobs at once that have not turned out long.
    pub express_jobs_max: usize,
    /// Jobs at once that have.
    pub bulk_jobs_max: usize,
    /// After how many pages a job counts as long.
    pub express_pages: u32,
    /// How many device ordinals a job spans.
    pub job_span: i64,
    /// Into how many jobs a publish is cut at most.
    pub jobs_per_publish_max: usize,
    /// How long a node that does not answer keeps its work.
    pub lease: Duration,
    /// How often to look for work that others left.
    pub poll: Duration,
    /// When to try again.
    pub backoff: Backoff,
    /// How retries spread.
    pub jitter: Jitter,
    /// How long what is over is kept.
    pub keep: Keep,
    /// How webhooks are told.
    pub webhooks: WebhookSettings,
    /// Where what is done for publishes is told, if anywhere.
    pub spans: Spans,
}

/// How long what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Publishes that finished.
    pub publishes: Duration,
    /// What publishes that finished carried.
    pub payloads: Duration,
    /// Whom publishes that finished named, and what became of them for each.
    pub names: Duration,
    /// The audit log.
    pub audit: Duration,
    /// What devices reported of publishes that finished.
    pub events: Duration,
    /// How much was reported in each hour, before it is added up by day.
    pub hours: Duration,
    /// How much was reported on each day.
    pub insights: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            publishes: 30 * DAY,
            payloads: 30 * DAY,
            names: 30 * DAY,
            audit: 365 * DAY,
            events: 30 * DAY,
            hours: 30 * DAY,
            insights: 400 * DAY,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_worker: true,
            page_length: 1000,
            in_flight_max: 1000,
            hosts: HostLimits::default(),
            express_jobs_max: 512,
            bulk_jobs_max: 8,
            express_pages: 2,
            job_span: 250_000,
            jobs_per_publish_max: 64,
            lease: Duration::from_secs(120),
            poll: Duration::from_secs(1),
            backoff: Backoff::default(),
            jitter: Jitter::default(),
            keep: Keep::default(),
            webhooks: WebhookSettings::default(),
            spans: Spans::default(),
        }
    }
}

impl Settings {
    pub(super) fn sender(
        &self,
        store: &Arc<dyn Store>,
        instances: Arc<Instances>,
        clock: Arc<dyn Clock>,
        sharers: Sharers,
        trail: Trail,
        stopping: CancellationToken,
    ) -> Sender {
        Sender {
            store: Arc::clone(store),
            instances,
            clock,
            backoff: self.backoff,
            jitter: self.jitter.clone(),
            gates: Arc::new(Gates::new(self.hosts, sharers)),
            attempts: Arc::new(Attempts::new()),
            in_flight_max: self.in_flight_max,
            trail,
            stopping,
        }
    }

    pub(super) fn membership(
        &self,
        store: &Arc<dyn Store>,
        leases: &Leases,
        instances: &Instances,
        stopping: CancellationToken,
    ) -> Membership {
        Membership {
            store: Arc::clone(store),
            clock: Arc::clone(&leases.clock),
            node: leases.owner,
            is_worker: self.is_worker,
            keys: instances.vault().key_ids(),
            sharers: Sharers::default(),
            nodes: Sharers::default(),
            stopping,
        }
    }

    pub(super) fn fanout(&self, store: &Arc<dyn Store>, sender: Sender, leases: &Leases) -> Fanout {
        Fanout {
            store: Arc::clone(store),
            sender,
            leases: leases.clone(),
            page_length: self.page_length,
            express_pages: self.express_pages,
            spans: self.spans.clone(),
        }
    }

    pub(super) fn janitor(
        &self,
        store: &Arc<dyn Store>,
        leases: &Leases,
        stopping: CancellationToken,
    ) -> Janitor {
        Janitor {
            store: Arc::clone(store),
            clock: Arc::clone(&leases.clock),
            node: leases.owner,
            keep: self.keep,
            stopping,
        }
    }
}
