//! Keeps the gateways busy with the deliveries of one page, within bounds.
//!
//! No task per delivery: the futures of a page are polled together by the task that owns the page. How many run at once
//! follows what each channel says it can use now, and what each host's gate lets in. When the node stops, deliveries are parked that
//! were not begun or wait at a gate; those that a gateway has are awaited.

use std::sync::Arc;
use std::time::Duration;

use domain::backoff::Backoff;
use domain::clock::Clock;
use domain::device::{Platform, Recipient};
use domain::instance::InstanceId;
use domain::outcome::{Outcome, Reason};
use domain::payload::{Origin, Rendered};
use domain::publish::Publish;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use gateway::{Attempt, Delivery, HostSign};
use store::publishes::Settlement;
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::gate::{Gate, TurnedAway, Visit};
use crate::gates::{Gates, Hosts};
use crate::instances::{Instance, Instances};
use crate::jitter::Jitter;
use crate::measure::Attempts;
use crate::persist::STORE_RETRY;
use crate::personal::Personal;
use crate::settle::Settling;
use crate::trail::{Trail, Tried};

/// How many deliveries of a page may always be at a gate, however crowded it is, so that every job gets its turns.
const AT_GATE_MIN: usize = 32;

/// What every page of deliveries needs.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) instances: Arc<Instances>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) backoff: Backoff,
    pub(crate) jitter: Jitter,
    pub(crate) gates: Arc<Gates>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) in_flight_max: usize,
    pub(crate) trail: Trail,
    pub(crate) stopping: CancellationToken,
}

/// One delivery to make.
#[derive(Debug)]
pub(crate) struct Due<'a> {
    pub(crate) recipient: &'a Recipient,
    /// How many attempts there were before.
    pub(crate) attempts: u32,
}

/// Why a delivery is not tried now, though it was begun.
#[derive(Debug, Clone, Copy)]
enum Untried {
    /// Its host has not answered yet, like too many others.
    NoPlace,
    /// Too many were before it at its host.
    WaitedTooLong,
    /// Its instance has too many retries under way.
    NoRoom,
    /// Its host is left alone for so long.
    LeftAlone(Duration),
    /// The node stops.
    Stopping,
}

impl Untried {
    const fn reason(self) -> &'static str {
        match self {
            Self::NoPlace => "too_many_hosts",
            Self::WaitedTooLong => "host_too_slow",
            Self::NoRoom => "too_many_retries",
            Self::LeftAlone(_) => "host_left_alone",
            Self::Stopping => "parked",
        }
    }
}

/// What the deliveries of one page share.
struct Batch<'a> {
    instance: Option<&'a Instance>,
    publish: &'a Publish,
    /// The payloads, rendered for now, by platform.
    rendered: [Option<Rendered>; Platform::ALL.len()],
    /// What the payloads are rendered for.
    origin: Origin,
    /// In the place of `rendered`, where each user has a payload of its own.
    personal: Option<Personal<'a>>,
    /// The gates, by platform.
    hosts: [Hosts; Platform::ALL.len()],
    /// How they come to the gates of hosts that may not answer.
    visit: Visit,
}

impl Batch<'_> {
    /// The gate that all deliveries go through, where the publish is for one host alone. Jobs that share it need not have all
    /// their deliveries wait there. With several hosts, one that is slow would keep those to others from beginning.
    fn only_gate(&self) -> Option<&Gate> {
        let mut platforms = self.publish.payloads.platforms();
        let (Some(platform), None) = (platforms.next(), platforms.next()) else {
            return None;
        };
        match &self.hosts[platform as usize] {
            // With APNs, few are for the sandbox, which may wait.
            Hosts::One(gate)
            | Hosts::ByEnvironment {
                production: gate, ..
            } => Some(gate),
            Hosts::ByOrigin(_) => None,
        }
    }
}

impl Sender {
    /// An instance, `None` if there is none. A store that fails is asked again, `tries` times at most; not once the node
    /// stops, because then everything is parked, for which no instance is needed.
    pub(crate) async fn instance(
        &self,
        id: InstanceId,
        tries: u32,
    ) -> Result<Option<Arc<Instance>>, StoreError> {
        let mut tried = 0;
        loop {
            let error = match self.instances.get(id).await {
                Ok(instance) => return Ok(instance),
                Err(error) => error,
            };
            tracing::warn!(instance = %id, %error, "an instance could not be read");
            tried += 1;
            if tried >= tries {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Ok(None),
                () = tokio::time::sleep(STORE_RETRY) => {}
            }
        }
    }

    /// Sends all of `due` and says what is to be settled.
    pub(crate) async fn send(
        &self,
        instance: Option<&Instance>,
        publish: &Publish,
        due: &[Due<'_>],
        visit: Visit,
    ) -> Settlement {
        let mut settling = Settling::new(publish, &self.backoff);
        let mut waiting = due.iter();
        let mut batch = self.batch(instance, publish, visit);
        // Without the values of a template nothing is begun, and all is parked.
        let mut can_begin = true;
        if let Some(template) = &publish.payloads.template {
            let (store, stopping) = (&self.store, &self.stopping);
            batch.personal = Personal::read(store, publish, template, due, stopping).await;
            can_begin = batch.personal.is_some();
        }
        let batch = &batch;
        let mut tried = self
            .trail
            .watched(publish.instance)
            .map(|_| Tried::default());
        let mut running = FuturesUnordered::new();
        let limit = self.limit(instance, publish);
        let gate = batch.only_gate();
        let would_only_wait =
            |begun: usize| begun >= AT_GATE_MIN && gate.is_some_and(|gate| gate.is_crowded());
        loop {
            while can_begin
                && running.len() < limit
                && !would_only_wait(running.len())
                && !self.stopping.is_cancelled()
            {
                let Some(next) = waiting.next() else { break };
                // Made within, since a future that is moved into another one takes up its room twice.
                running.push(async move { (next, self.attempt(batch, next.recipient).await) });
            }
            let Some((done, attempt)) = running.next().await else {
                break;
            };
            let attempt = match attempt {
                Ok(attempt) => attempt,
                Err(why) => {
                    if let Some(tried) = &mut tried {
                        let outcome = Outcome::retry(why.reason());
                        tried.take(done.recipient.device, &outcome);
                    }
                    self.leave_untried(&mut settling, done, why);
                    continue;
                }
            };
            if let Some(tried) = &mut tried {
                tried.take(done.recipient.device, &attempt.outcome);
            }
            settling.take(
                done.recipient,
                attempt,
                done.attempts + 1,
                || self.jitter.throw(),
                || self.clock.now(),
            );
        }
        for left in waiting {
            settling.park(left.recipient, left.attempts, self.clock.now());
        }
        if let Some(tried) = tried {
            self.trail.page(publish, &tried).await;
        }
        settling.finish()
    }

    /// Puts all of `due` off, without a try, because their instance has too many retries under way.
    pub(crate) fn put_all_off(&self, publish: &Publish, due: &[Due<'_>]) -> Settlement {
        let mut settling = Settling::new(publish, &self.backoff);
        for one in due {
            self.leave_untried(&mut settling, one, Untried::NoRoom);
        }
        settling.finish()
    }

    fn leave_untried(&self, settling: &mut Settling<'_>, due: &Due<'_>, why: Untried) {
        let (recipient, attempts) = (due.recipient, due.attempts);
        let (jitter, now) = (self.jitter.throw(), self.clock.now());
        let reason = Reason::Borrowed(why.reason());
        match why {
            Untried::Stopping => settling.park(recipient, attempts, now),
            Untried::LeftAlone(wait) => {
                settling.leave_alone(recipient, attempts, reason, (wait, jitter), now);
            }
            _ => settling.put_off(recipient, attempts, reason, jitter, now),
        }
    }

    fn batch<'a>(
        &self,
        instance: Option<&'a Instance>,
        publish: &'a Publish,
        visit: Visit,
    ) -> Batch<'a> {
        let origin = Origin {
            instance: publish.instance,
            publish: publish.id,
            send_at: publish.send_at,
            expires_at: publish.expires_at,
            now: self.clock.now(),
        };
        // What cannot come again has to be tried now.
        let last_time = Settling::expires_if_put_off(publish, Platform::Web, origin.now);
        Batch {
            visit: if last_time { Visit::Again } else { visit },
            instance,
            publish,
            rendered: Platform::ALL.map(|platform| publish.payloads.render(platform, &origin)),
            origin,
            personal: None,
            hosts: Platform::ALL.map(|platform| self.gates.hosts(publish.instance, platform)),
        }
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

    async fn attempt(&self, batch: &Batch<'_>, recipient: &Recipient) -> Result<Attempt, Untried> {
        let platform = recipient.token.platform();
        let Some(instance) = batch.instance else {
            return Ok(Outcome::rejected("instance_deleted").into());
        };
        if batch.publish.expires_at.is_some() && batch.publish.is_expired(self.clock.now()) {
            // Settled as expired, since no retry can come in time.
            return Ok(Outcome::retry("expired").into());
        }
        let own = batch
            .personal
            .as_ref()
            .map(|personal| personal.render(recipient, &batch.origin))
            .transpose();
        let own = match own {
            Ok(own) => own,
            Err(reason) => return Ok(Outcome::rejected(reason).into()),
        };
        let Some(payload) = own.as_ref().or(batch.rendered[platform as usize].as_ref()) else {
            return Ok(Outcome::rejected("no_payload").into());
        };
        let Some(way) = instance.way(platform) else {
            return Ok(Outcome::rejected("no_credential").into());
        };
        let hosts = &batch.hosts[platform as usize];
        let gate = hosts.gate(recipient, || way.channel.knows_host_of(&recipient.token));
        let entered = tokio::select! {
            biased;
            entered = gate.enter(batch.visit) => entered,
            // Who would have to wait, for a place or its turn, is parked like those that were not begun.
            () = self.stopping.cancelled() => return Err(Untried::Stopping),
        };
        let place = entered.map_err(|why| match why {
            TurnedAway::Closed(wait) => Untried::LeftAlone(wait),
            TurnedAway::NoPlace => Untried::NoPlace,
            TurnedAway::WaitedTooLong => Untried::WaitedTooLong,
        })?;
        if !way.admits(&*self.clock) {
            return Ok(Outcome::credential_broken("refused_before").into());
        }
        let started = tokio::time::Instant::now();
        let publish = batch.publish.id;
        let delivery = Delivery {
            publish,
            recipient,
            payload,
        };
        let attempt = way.channel.send(&delivery).await;
        place.leave(attempt.sign);
        if attempt.sign == HostSign::NotAsked {
            return Err(Untried::NoPlace);
        }
        self.attempts
            .record(platform, attempt.outcome.kind(), started.elapsed());
        match &attempt.outcome {
            Outcome::CredentialBroken { reason } => {
                self.instances.mark(instance, platform, Some(reason)).await;
            }
            Outcome::Accepted | Outcome::TokenDead { .. } => {
                self.instances.mark(instance, platform, None).await;
            }
            Outcome::Retry { .. } | Outcome::Rejected { .. } => {}
        }
        Ok(attempt)
    }
}
