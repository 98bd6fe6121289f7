//! Requests: claimed, made, settled, listed, pruned.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::user::UserId;

use super::super::state::{Claim, State};
use super::{RequestRow, Source};
use crate::publishes::{Fence, Lease, Settled};
use crate::webhooks::{
    Attempted, Care, Claimed, ClaimedRequests, Content, DISABLED, Disabled, FAILED_TOO_LONG, Next,
    PUBLISH_GONE, RequestNumber, RequestReport, RequestState, Try, WebhookNumber,
};

impl State {
    pub(super) fn claim_requests(
        &mut self,
        webhook: WebhookNumber,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Option<ClaimedRequests> {
        let row = self.webhooks.rows.get(&webhook.0)?;
        let instance = self.instance_id(row.instance)?;
        let record = row.record.clone();
        if record.disabled.is_some() {
            return None;
        }
        let rows = self.requests.rows.iter();
        let mut due: Vec<_> = rows
            .filter(|(_, row)| row.webhook == webhook.0 && row.is_due(now))
            .map(|(number, row)| (row.due_at.is_none(), row.due_at, *number))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut requests = Vec::new();
        for (_, _, number) in due {
            match self.claimable(number, now) {
                None => {
                    if let Some(row) = self.requests.rows.get_mut(&number) {
                        row.give_up(PUBLISH_GONE, now);
                    }
                }
                Some(request) => {
                    if let Some(row) = self.requests.rows.get_mut(&number) {
                        row.claim.fence = request.fence.0;
                        row.claim.until = Some(lease.until);
                        row.created_at = Some(request.created_at);
                    }
                    requests.push(request);
                }
            }
        }
        (!requests.is_empty()).then_some(ClaimedRequests {
            instance,
            webhook: record,
            requests,
        })
    }

    /// A request as its caller wants it; `None` if it cannot be made, since its publish is gone.
    fn claimable(&self, number: i64, now: Timestamp) -> Option<Claimed> {
        let row = self.requests.rows.get(&number)?;
        let publish = row
            .publish
            .and_then(|number| self.publishes.rows.get(&number));
        let brought = row
            .event
            .is_of_publish_webhook()
            .then_some(publish)
            .flatten();
        let brought = brought.and_then(|row| row.webhook.clone());
        if row.event.is_of_publish_webhook() && brought.is_none() {
            return None;
        }
        let content = match &row.source {
            Source::Made(payload) => Content::Made(payload.clone()),
            Source::Publish(_, after) => Content::OfPublish {
                publish: publish?.publish.id,
                after: after.clone(),
            },
        };
        Some(Claimed {
            number: RequestNumber(number),
            fence: Fence(row.claim.fence + 1),
            id: row.id,
            event_id: row.event_id,
            event: row.event,
            created_at: row.created_at.unwrap_or(now),
            attempts: row.attempts,
            content,
            brought,
        })
    }

    pub(super) fn make_request(
        &mut self,
        number: RequestNumber,
        fence: Fence,
        payload: String,
        rest: Option<UserId>,
    ) -> Settled {
        let row = self.requests.rows.get_mut(&number.0);
        let Some(row) = row.filter(|row| row.claim.fence == fence.0) else {
            return Settled::LeaseLost;
        };
        let Source::Publish(publish, _) = row.source else {
            return Settled::Done;
        };
        row.source = Source::Made(payload);
        let (webhook, event) = (row.webhook, row.event);
        if rest.is_some() {
            let source = Source::Publish(publish, rest);
            let event_id = self.fresh_uuid();
            self.queue(webhook, event_id, event, source, Some(publish));
        }
        Settled::Done
    }

    pub(super) fn settle_requests(
        &mut self,
        webhook: WebhookNumber,
        attempts: &[Attempted],
        disable_after: Duration,
        now: Timestamp,
    ) -> bool {
        let (mut taken, mut failed) = (false, false);
        for attempt in attempts {
            let row = self.requests.rows.get_mut(&attempt.number.0);
            let mine = |row: &&mut RequestRow| {
                row.webhook == webhook.0
                    && row.claim.fence == attempt.fence.0
                    && row.state == RequestState::Waiting
            };
            let Some(row) = row.filter(mine) else {
                continue;
            };
            row.attempts += 1;
            row.claim = Claim {
                fence: row.claim.fence + 1,
                until: None,
            };
            row.tried_at = Some(now);
            row.status = attempt.status;
            row.error.clone_from(&attempt.error);
            row.tries.push(Try {
                at: now,
                status: attempt.status,
                error: attempt.error.clone(),
            });
            match attempt.next {
                Next::Delivered => row.state = RequestState::Delivered,
                Next::Again(due) => row.due_at = Some(due),
                Next::GiveUp => row.state = RequestState::Failed,
            }
            taken |= attempt.next == Next::Delivered;
            failed |= attempt.next != Next::Delivered;
        }
        let Some(row) = self.webhooks.rows.get_mut(&webhook.0) else {
            return false;
        };
        let is_shown = row.is_shown();
        let record = &mut row.record;
        if taken {
            record.failing_since = None;
            return false;
        }
        if !failed {
            return false;
        }
        let since = *record.failing_since.get_or_insert(now);
        let is_over = is_shown && record.disabled.is_none() && since <= now.before(disable_after);
        if is_over {
            record.disabled = Some(Disabled {
                since: now,
                reason: FAILED_TOO_LONG.into(),
            });
        }
        is_over
    }

    pub(super) fn tend_webhooks(&mut self, care: Care) -> u64 {
        for (number, webhook) in &mut self.webhooks.rows {
            let of_it = |row: &&mut RequestRow| {
                row.webhook == *number && row.state == RequestState::Waiting
            };
            if webhook.record.disabled.is_some() {
                let waiting = self.requests.rows.values_mut().filter(of_it);
                waiting.for_each(|row| row.give_up(DISABLED, care.now));
            }
            let waiting = self.requests.rows.values_mut().filter(of_it).count();
            if waiting > care.waiting_max {
                webhook.record.full_since.get_or_insert(care.now);
            } else {
                webhook.record.full_since = None;
            }
        }
        let mut over = Vec::new();
        for number in self.webhooks.rows.keys() {
            for state in [RequestState::Delivered, RequestState::Failed] {
                let rows = self.requests.rows.iter().rev();
                let ended = rows.filter(|(_, row)| row.webhook == *number && row.state == state);
                over.extend(ended.enumerate().filter_map(|(place, (request, row))| {
                    let is_old = row.tried_at.is_some_and(|at| at < care.before);
                    (place >= care.ended_max || is_old).then_some(*request)
                }));
            }
        }
        over.truncate(care.limit);
        for request in &over {
            self.requests.rows.remove(request);
        }
        over.len() as u64
    }

    pub(super) fn webhook_requests(
        &self,
        webhook: i64,
        state: Option<RequestState>,
        before: Option<RequestNumber>,
        limit: usize,
    ) -> Vec<RequestReport> {
        let rows = self.requests.rows.iter().rev();
        rows.filter(|(number, row)| {
            row.webhook == webhook
                && state.is_none_or(|state| row.state == state)
                && before.is_none_or(|before| **number < before.0)
        })
        .take(limit)
        .map(|(number, row)| RequestReport {
            number: RequestNumber(*number),
            id: row.id,
            event_id: row.event_id,
            event: row.event,
            state: row.state,
            created_at: row.created_at,
            attempts: row.attempts,
            due_at: (row.state == RequestState::Waiting)
                .then(|| row.due_at.unwrap_or(Timestamp::from_millis(0))),
            tried_at: row.tried_at,
            status: row.status,
            error: row.error.clone(),
            payload: match &row.source {
                Source::Made(payload) => Some(payload.clone()),
                Source::Publish(..) => None,
            },
            tries: row.tries.clone(),
        })
        .collect()
    }
}
