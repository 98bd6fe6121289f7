//! How publishes are accepted: at once, for later, and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::{Audience, Publish, PublishId};
use domain::user::UserId;

use super::state::{Claim, JobRow, PublishRow, State, UsedKey};
use crate::StoreError;
use crate::lookup::{Fresh, PublishState, Replayed, Target};
use crate::publishes::{Accepted, Job, NewPublish, Once, Plan, ResolvedAudience};

/// An audience in numbers, with the users that were named.
type Resolved = (ResolvedAudience, Vec<(UserId, Option<i64>)>);

impl State {
    pub(super) fn create_publish(
        &mut self,
        new: NewPublish,
        plan: Plan,
    ) -> Result<Accepted, StoreError> {
        let NewPublish {
            publish,
            audience,
            once,
            webhook,
        } = new;
        let instance = self.known_instance(publish.instance)?;
        if let Some(once) = &once {
            match self.used_key(instance, once) {
                Some(Ok(before)) => return Ok(Accepted::Repeated(before)),
                Some(Err(())) => return Ok(Accepted::KeyReused),
                None => {}
            }
        }
        if let Audience::List(list) = audience {
            self.open_list(instance, list.number)?;
        }
        if let Some(once) = &once {
            self.use_key(instance, once, publish.id, publish.accepted_at);
        }
        let now = publish.accepted_at;
        let is_later = publish.send_at > now;
        let target = Target::Named(audience.kind(), audience.named() as u64);
        let mut row = row(instance, publish, target);
        row.webhook = webhook;
        if let Audience::Interests(names) = &audience {
            row.interests = names.iter().cloned().collect();
        }
        let number = self.publishes.add(row);
        if let Audience::List(list) = audience
            && let Some(list) = self.lists.rows.get_mut(&list.number)
        {
            list.publish = Some(number);
        }
        if is_later {
            if let Some(row) = self.publishes.rows.get_mut(&number) {
                row.state = PublishState::Scheduled;
                row.scheduled = Some(audience);
            }
            return Ok(Accepted::New(Vec::new()));
        }
        let resolved = self.resolve(instance, &audience);
        Ok(Accepted::New(self.begin(number, resolved, plan, now)))
    }

    /// The publish that a key made, or that it was used for another request; nothing if it is unused.
    fn used_key(&self, instance: i64, once: &Once) -> Option<Result<PublishId, ()>> {
        let key = (instance, once.idempotency.key.as_str().to_owned());
        let used = self.keys.get(&key).filter(|used| used.at >= once.since)?;
        let is_same = used.fingerprint == once.idempotency.fingerprint;
        Some(if is_same { Ok(used.publish) } else { Err(()) })
    }

    pub(super) fn repeated_publish(&self, instance: InstanceId, once: &Once) -> Option<PublishId> {
        let instance = self.known_instance(instance).ok()?;
        self.used_key(instance, once)?.ok()
    }

    fn use_key(&mut self, instance: i64, once: &Once, publish: PublishId, now: Timestamp) {
        let key = (instance, once.idempotency.key.as_str().to_owned());
        let used = UsedKey {
            fingerprint: once.idempotency.fingerprint,
            publish,
            at: now,
        };
        self.keys.insert(key, used);
    }

    pub(super) fn prune_keys(&mut self, before: Timestamp, limit: usize) -> u64 {
        let keys = self.keys.iter().filter(|(_, used)| used.at < before);
        let mut over: Vec<_> = keys.map(|(key, used)| (used.at, key.clone())).collect();
        over.sort_unstable();
        over.truncate(limit);
        for (_, key) in &over {
            self.keys.remove(key);
        }
        over.len() as u64
    }

    pub(super) fn resolve(&self, instance: i64, audience: &Audience) -> Resolved {
        let sorted = |mut numbers: Vec<i64>| {
            numbers.sort_unstable();
            numbers
        };
        match audience {
            Audience::List(list) => (ResolvedAudience::Listed(list.number), vec![]),
            Audience::Interests(names) => {
                let known = names
                    .iter()
                    .filter_map(|name| self.interest(instance, name));
                (ResolvedAudience::Interests(sorted(known.collect())), vec![])
            }
            Audience::Users(ids) => {
                let ids = ids.iter();
                let named: Vec<_> = ids
                    .map(|id| (id.clone(), self.user(instance, id)))
                    .collect();
                let known = named.iter().filter_map(|(_, number)| *number);
                (ResolvedAudience::Users(sorted(known.collect())), named)
            }
        }
    }

    /// Writes the jobs of a publish; those that the plan leases are returned.
    fn begin(&mut self, publish: i64, resolved: Resolved, plan: Plan, now: Timestamp) -> Vec<Job> {
        let (audience, named) = resolved;
        let ranges = self.ranges(&audience, plan);
        let Some(row) = self.publishes.rows.get_mut(&publish) else {
            return Vec::new();
        };
        row.state = PublishState::Running;
        row.audience = Arc::new(audience);
        row.named = named;
        let is_for_nobody = ranges.is_empty();
        if is_for_nobody {
            row.end(PublishState::Finished, now);
        }
        self.publish_begun(publish);
        if is_for_nobody {
            self.publish_ended(publish);
        }
        let claim = plan.lease.map_or(Claim::NOBODY, |lease| Claim {
            fence: 1,
            until: Some(lease.until),
        });
        let mut jobs = Vec::new();
        for (cursor, end) in ranges {
            let job = self.jobs.add(JobRow {
                publish,
                cursor,
                end,
                claim,
            });
            if plan.lease.is_some() {
                jobs.extend(self.job(job).map(|job| self.with_first_page(job, plan)));
            }
        }
        jobs
    }

    pub(super) fn start_scheduled(&mut self, plan: Plan, now: Timestamp, limit: usize) -> Vec<Job> {
        let rows = self.publishes.rows.iter();
        let mut due: Vec<_> = rows
            .filter(|(_, row)| row.scheduled.is_some() && row.publish.send_at <= now)
            .map(|(number, row)| (row.publish.send_at, *number))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut jobs = Vec::new();
        for (_, number) in due {
            let row = self.publishes.rows.get_mut(&number);
            let Some((instance, audience)) =
                row.and_then(|row| Some((row.instance, row.scheduled.take()?)))
            else {
                continue;
            };
            let resolved = self.resolve(instance, &audience);
            jobs.extend(self.begin(number, resolved, plan, now));
        }
        jobs
    }

    pub(super) fn next_scheduled(&self) -> Option<Timestamp> {
        let rows = self.publishes.rows.values();
        let scheduled = rows.filter(|row| row.scheduled.is_some());
        scheduled.map(|row| row.publish.send_at).min()
    }

    pub(super) fn replay_publish(
        &mut self,
        instance: InstanceId,
        id: PublishId,
        fresh: Fresh,
        once: Option<&Once>,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Replayed, StoreError> {
        let of = self.known_instance(instance)?;
        self.finish_what_is_done(now);
        match once.and_then(|once| self.used_key(of, once)) {
            Some(Ok(before)) => return Ok(Replayed::Repeated(before)),
            Some(Err(())) => return Ok(Replayed::KeyReused),
            None => {}
        }
        let number = self.publish(instance, id);
        let found = number.and_then(|number| Some((number, self.publishes.rows.get(&number)?)));
        let Some((source, row_of_source)) = found else {
            return Ok(Replayed::Unknown);
        };
        if row_of_source.finished_at.is_none() {
            return Ok(Replayed::Unfinished);
        }
        let before = &row_of_source.publish;
        let lacks_values = before.payloads.template.is_some()
            && !self
                .list_behind(source)
                .is_some_and(|list| list.users.iter().any(Option::is_some));
        if !row_of_source.has_payload
            || before.expires_at.is_some_and(|end| end <= now)
            || lacks_values
        {
            return Ok(Replayed::Expired);
        }
        let publish = Publish {
            id: fresh.id,
            trace: fresh.trace,
            accepted_at: now,
            send_at: now,
            ..Publish::clone(before)
        };
        if let Some(once) = once {
            self.use_key(of, once, fresh.id, now);
        }
        let mut row = row(of, Arc::new(publish), Target::FailuresOf(id));
        row.replay_of = Some(source);
        let number = self.publishes.add(row);
        let resolved = (ResolvedAudience::FailuresOf(source), Vec::new());
        Ok(Replayed::Accepted(self.begin(number, resolved, plan, now)))
    }
}

/// A publish of which nothing is known yet but what it is.
fn row(instance: i64, publish: Arc<Publish>, target: Target) -> PublishRow {
    PublishRow {
        instance,
        publish,
        audience: Arc::new(ResolvedAudience::Interests(Vec::new())),
        state: PublishState::Running,
        target,
        replay_of: None,
        scheduled: None,
        named: Vec::new(),
        interests: Vec::new(),
        webhook: None,
        finished_at: None,
        tallies: BTreeMap::new(),
        users: BTreeMap::new(),
        failures: BTreeMap::new(),
        events: BTreeMap::new(),
        reported: [0; 2],
        has_payload: true,
        has_names: true,
        has_events: true,
    }
}
