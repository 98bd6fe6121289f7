//! Keeps the gateways busy with the deliveries of one page, within bounds.
//!
//! No task per delivery: the futures of a page are polled together by the task that owns the page. How many run at once
//! follows what each channel says it can use now. When the node stops, deliveries not begun are parked.

use std::sync::Arc;

use domain::backoff::Backoff;
use domain::clock::Clock;
use domain::device::{Platform, Recipient};
use domain::outcome::Outcome;
use domain::payload::{Origin, Rendered};
use domain::publish::Publish;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use gateway::{Attempt, Delivery};
use store::publishes::Settlement;
use tokio_util::sync::CancellationToken;

use crate::instances::{Instance, Instances};
use crate::measure;
use crate::settle::Settling;

/// What every page of deliveries needs.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) instances: Arc<Instances>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) backoff: Backoff,
    pub(crate) in_flight_max: usize,
    pub(crate) stopping: CancellationToken,
}

/// One delivery to make.
#[derive(Debug)]
pub(crate) struct Due<'a> {
    pub(crate) recipient: &'a Recipient,
    /// How many attempts there were before.
    pub(crate) attempts: u32,
}

/// The payloads of a publish, rendered for now.
struct RenderedPayloads([Option<Rendered>; Platform::ALL.len()]);

impl Sender {
    /// Sends all of `due` and says what is to be settled.
    pub(crate) async fn send(
        &self,
        instance: Option<&Instance>,
        publish: &Publish,
        due: &[Due<'_>],
    ) -> Settlement {
        let rendered = self.render(publish);
        let mut settling = Settling::new(publish, &self.backoff);
        let mut waiting = due.iter();
        let mut running = FuturesUnordered::new();
        let limit = self.limit(instance, publish);
        loop {
            while running.len() < limit && !self.stopping.is_cancelled() {
                let Some(next) = waiting.next() else { break };
                let attempt = self.attempt(instance, publish, &rendered, next.recipient);
                running.push(async move { (next, attempt.await) });
            }
            let Some((done, attempt)) = running.next().await else {
                break;
            };
            settling.take(
                done.recipient,
                attempt,
                done.attempts + 1,
                rand::random(),
                self.clock.now(),
            );
        }
        for left in waiting {
            settling.park(left.recipient, left.attempts, self.clock.now());
        }
        settling.finish()
    }

    fn render(&self, publish: &Publish) -> RenderedPayloads {
        let origin = Origin {
            instance: publish.instance,
            publish: publish.id,
            accepted_at: publish.accepted_at,
            now: self.clock.now(),
        };
        RenderedPayloads(Platform::ALL.map(|platform| publish.payloads.render(platform, &origin)))
    }

    fn limit(&self, instance: Option<&Instance>, publish: &Publish) -> usize {
        let useful: usize = publish
            .payloads
            .platforms()
            .filter_map(|platform| instance?.way(platform))
            .map(|way| way.channel.in_flight_limit())
            .sum();
        useful.clamp(1, self.in_flight_max)
    }

    async fn attempt(
        &self,
        instance: Option<&Instance>,
        publish: &Publish,
        rendered: &RenderedPayloads,
        recipient: &Recipient,
    ) -> Attempt {
        let platform = recipient.token.platform();
        let end = |outcome| Attempt {
            outcome,
            environment: None,
        };
        let Some(instance) = instance else {
            return end(Outcome::rejected("instance_deleted"));
        };
        let Some(payload) = &rendered.0[platform as usize] else {
            return end(Outcome::rejected("no_payload"));
        };
        let Some(way) = instance.way(platform) else {
            return end(Outcome::rejected("no_credential"));
        };
        if !way.admits(self.clock.now()) {
            return end(Outcome::credential_broken("refused_before"));
        }
        let started = tokio::time::Instant::now();
        let attempt = way
            .channel
            .send(&Delivery {
                publish: publish.id,
                recipient,
                payload,
            })
            .await;
        measure::attempt(platform, attempt.outcome.kind(), started.elapsed());
        match &attempt.outcome {
            Outcome::CredentialBroken { reason } => {
                self.instances.mark(instance, platform, Some(reason)).await;
            }
            Outcome::Accepted | Outcome::TokenDead { .. } => {
                self.instances.mark(instance, platform, None).await;
            }
            Outcome::Retry { .. } | Outcome::Rejected { .. } => {}
        }
        attempt
    }
}
