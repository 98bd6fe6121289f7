//! What an outcome leads to. The only place that decides.
//!
//! Outcomes of a page are gathered into one [`Settlement`], which the store writes in one transaction. Every delivery of a
//! page adds exactly one thing to it: a tally (its end) or a retry.

use std::collections::HashMap;
use std::time::Duration;

use domain::backoff::Backoff;
use domain::clock::Timestamp;
use domain::device::{Platform, Recipient};
use domain::outcome::{Outcome, OutcomeKind, Reason};
use domain::publish::Publish;
use gateway::Attempt;
use store::publishes::{DeadDevice, NewRetry, Settlement, Tally};

/// Gathers the outcomes of one page, or of one batch of retries.
#[derive(Debug)]
pub(crate) struct Settling<'a> {
    publish: &'a Publish,
    backoff: &'a Backoff,
    ends: HashMap<(Platform, OutcomeKind, Reason), u64>,
    settlement: Settlement,
}

impl<'a> Settling<'a> {
    /// Nothing gathered yet.
    pub(crate) fn new(publish: &'a Publish, backoff: &'a Backoff) -> Self {
        Self {
            publish,
            backoff,
            ends: HashMap::new(),
            settlement: Settlement::default(),
        }
    }

    /// Takes what became of an attempt. `attempts` counts this one; `jitter` is random in `0.0..1.0`.
    pub(crate) fn take(
        &mut self,
        recipient: &Recipient,
        attempt: Attempt,
        attempts: u32,
        jitter: f64,
        now: Timestamp,
    ) {
        if let Some(environment) = attempt.environment {
            self.settlement
                .environments
                .push((recipient.device, environment));
        }
        let platform = recipient.token.platform();
        let kind = attempt.outcome.kind();
        match attempt.outcome {
            Outcome::Accepted => self.end(platform, kind, "".into()),
            Outcome::Rejected { reason } | Outcome::CredentialBroken { reason } => {
                self.end(platform, kind, reason)
            }
            Outcome::TokenDead { reason, since } => {
                let dead = DeadDevice {
                    device: recipient.device,
                    token: recipient.token.clone(),
                    since,
                };
                self.settlement.dead.push(dead);
                self.end(platform, kind, reason);
            }
            Outcome::Retry { reason, after } => {
                let due_at = now.after(self.backoff.wait(attempts, jitter, after));
                if due_at
                    > self
                        .publish
                        .payloads
                        .expires_at(platform, self.publish.accepted_at)
                {
                    self.end(platform, OutcomeKind::Expired, reason);
                } else {
                    self.settlement.retries.push(NewRetry {
                        device: recipient.device,
                        attempts,
                        due_at,
                        reason,
                    });
                }
            }
        }
    }

    /// Puts a delivery off that was not tried at all, because the node is stopping: whoever runs next takes it at once.
    pub(crate) fn park(&mut self, recipient: &Recipient, attempts: u32, now: Timestamp) {
        let retry = NewRetry {
            device: recipient.device,
            attempts,
            due_at: now.after(Duration::ZERO),
            reason: "parked".into(),
        };
        self.settlement.retries.push(retry);
    }

    /// All that was gathered.
    pub(crate) fn finish(mut self) -> Settlement {
        let tally = |((platform, outcome, reason), count)| Tally {
            platform,
            outcome,
            reason,
            count,
        };
        self.settlement.tallies = self.ends.into_iter().map(tally).collect();
        self.settlement
    }

    fn end(&mut self, platform: Platform, outcome: OutcomeKind, reason: Reason) {
        *self.ends.entry((platform, outcome, reason)).or_default() += 1;
    }
}
