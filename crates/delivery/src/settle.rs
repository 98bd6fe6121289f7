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
use domain::user::UserOrdinal;
use gateway::Attempt;
use store::publishes::{DeadDevice, Failure, NewRetry, Settlement, Tally, UserTally};

/// How long a delivery is put off at least for which there was no place, and at most but for jitter.
const PUT_OFF_MIN: Duration = Duration::from_secs(3);
const PUT_OFF_MAX: Duration = Duration::from_secs(60);

/// Gathers the outcomes of one page, or of one batch of retries.
#[derive(Debug)]
pub(crate) struct Settling<'a> {
    publish: &'a Publish,
    backoff: &'a Backoff,
    accepted: [u64; Platform::ALL.len()],
    ends: HashMap<(Platform, OutcomeKind, Reason), u64>,
    /// Accepted and failed, of a publish to users.
    users: HashMap<UserOrdinal, (u64, u64)>,
    settlement: Settlement,
}

impl<'a> Settling<'a> {
    /// Nothing gathered yet.
    pub(crate) fn new(publish: &'a Publish, backoff: &'a Backoff) -> Self {
        Self {
            publish,
            backoff,
            accepted: [0; Platform::ALL.len()],
            ends: HashMap::new(),
            users: HashMap::new(),
            settlement: Settlement::default(),
        }
    }

    /// Takes what became of an attempt. `attempts` counts this one; `jitter` is random in `0.0..1.0`. Only failures ask for
    /// it and for the time, since of the others there are millions.
    pub(crate) fn take(
        &mut self,
        recipient: &Recipient,
        attempt: Attempt,
        attempts: u32,
        jitter: impl FnOnce() -> f64,
        now: impl FnOnce() -> Timestamp,
    ) {
        if let Some(environment) = attempt.environment {
            self.settlement
                .environments
                .push((recipient.device, environment));
        }
        let platform = recipient.token.platform();
        let kind = attempt.outcome.kind();
        match attempt.outcome {
            Outcome::Accepted => {
                self.accepted[platform as usize] += 1;
                if let Some(user) = recipient.user {
                    self.users.entry(user).or_default().0 += 1;
                }
            }
            Outcome::Rejected { reason } | Outcome::CredentialBroken { reason } => {
                self.end(recipient, kind, reason);
            }
            Outcome::TokenDead { reason, since } => {
                let dead = DeadDevice {
                    device: recipient.device,
                    token: recipient.token.clone(),
                    since,
                };
                self.settlement.dead.push(dead);
                self.end(recipient, kind, reason);
            }
            Outcome::Retry { reason, after } => {
                let due_at = now().after(self.backoff.wait(attempts, jitter(), after));
                self.later(recipient, attempts, due_at, reason);
            }
        }
    }

    /// Puts a delivery off for which there was no place: too many others are before it. That is not the device's fault, so its
    /// attempts stay as many as they were; it waits the longer the longer it has waited.
    pub(crate) fn put_off(
        &mut self,
        recipient: &Recipient,
        attempts: u32,
        reason: Reason,
        jitter: f64,
        now: Timestamp,
    ) {
        let waited = now.since(self.publish.send_at);
        let wait = (waited / 2).clamp(PUT_OFF_MIN, PUT_OFF_MAX);
        let due_at = now.after(wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0)));
        self.later(recipient, attempts, due_at, reason);
    }

    /// Puts a delivery off until its host is no longer left alone, for so long and some jitter. That is no attempt either: counted,
    /// a host that is dead for an hour would make its devices wait for as long again once it is back.
    pub(crate) fn leave_alone(
        &mut self,
        recipient: &Recipient,
        attempts: u32,
        reason: Reason,
        (wait, jitter): (Duration, f64),
        now: Timestamp,
    ) {
        let due_at = now.after(self.backoff.at_least(wait, jitter));
        self.later(recipient, attempts, due_at, reason);
    }

    /// Whether a delivery that is put off now comes too late.
    pub(crate) fn expires_if_put_off(
        publish: &Publish,
        platform: Platform,
        now: Timestamp,
    ) -> bool {
        now.after(2 * PUT_OFF_MIN) > publish.gives_up_at(platform)
    }

    fn later(&mut self, recipient: &Recipient, attempts: u32, due_at: Timestamp, reason: Reason) {
        if due_at > self.publish.gives_up_at(recipient.token.platform()) {
            self.end(recipient, OutcomeKind::Expired, reason);
        } else {
            self.settlement.retries.push(NewRetry {
                device: recipient.device,
                attempts,
                due_at,
                reason,
                user: recipient.user,
            });
        }
    }

    /// Puts a delivery off that was not tried at all, because the node is stopping: whoever runs next takes it at once.
    pub(crate) fn park(&mut self, recipient: &Recipient, attempts: u32, now: Timestamp) {
        let retry = NewRetry {
            device: recipient.device,
            attempts,
            due_at: now.after(Duration::ZERO),
            reason: "parked".into(),
            user: recipient.user,
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
        let of_user = |(user, (accepted, failed))| UserTally {
            user,
            accepted,
            failed,
        };
        self.settlement.users = self.users.into_iter().map(of_user).collect();
        let accepted = Platform::ALL
            .into_iter()
            .map(|platform| {
                let count = self.accepted[platform as usize];
                (
                    (platform, OutcomeKind::Accepted, Reason::Borrowed("")),
                    count,
                )
            })
            .filter(|(_, count)| *count > 0);
        self.settlement.tallies = self.ends.into_iter().chain(accepted).map(tally).collect();
        self.settlement
    }

    /// An end that is no acceptance. What may be taken another time is kept for that; a dead token never is.
    fn end(&mut self, recipient: &Recipient, outcome: OutcomeKind, reason: Reason) {
        if let Some(user) = recipient.user {
            self.users.entry(user).or_default().1 += 1;
        }
        if outcome != OutcomeKind::TokenDead {
            self.settlement.failures.push(Failure {
                device: recipient.device,
                outcome,
                reason: reason.clone(),
            });
        }
        let platform = recipient.token.platform();
        *self.ends.entry((platform, outcome, reason)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use domain::device::{ApnsEnvironment, DeviceOrdinal, GatewayToken};
    use domain::instance::InstanceId;
    use domain::publish::{AudienceKind, PublishId, PublishRequest};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn publish(fcm: &str) -> Publish {
        let body = format!(r#"{{"interests":["a"],"fcm":{fcm}}}"#);
        let request = PublishRequest::parse(AudienceKind::Interests, body.as_bytes()).unwrap();
        Publish {
            id: PublishId::random(),
            instance: InstanceId::random(),
            accepted_at: NOW,
            send_at: NOW,
            expires_at: None,
            payloads: request.payloads,
            trace: None,
        }
    }

    fn recipient(device: i64) -> Recipient {
        Recipient {
            device: DeviceOrdinal(device),
            token: GatewayToken::parse(Platform::Fcm, &format!("token-{device}")).unwrap(),
            bundle_id: None,
            environment: ApnsEnvironment::Production,
            registered_at: NOW,
            user: None,
        }
    }

    fn attempt(outcome: Outcome) -> Attempt {
        outcome.into()
    }

    /// Settles one attempt, the first, at `now`.
    fn settle(publish: &Publish, outcome: Outcome, now: Timestamp) -> Settlement {
        let backoff = Backoff::default();
        let mut settling = Settling::new(publish, &backoff);
        settling.take(&recipient(1), attempt(outcome), 1, || 1.0, || now);
        settling.finish()
    }

    #[test]
    fn every_delivery_adds_one_tally_or_one_retry() {
        let publish = publish(r#"{"data":{}}"#);
        let backoff = Backoff::default();
        let mut settling = Settling::new(&publish, &backoff);
        let outcomes = [
            Outcome::Accepted,
            Outcome::Accepted,
            Outcome::retry("unavailable"),
            Outcome::rejected("payload"),
            Outcome::token_dead("unregistered"),
            Outcome::credential_broken("refused"),
        ];
        for (device, outcome) in (1..).zip(outcomes) {
            settling.take(&recipient(device), attempt(outcome), 1, || 0.5, || NOW);
        }
        settling.park(&recipient(9), 0, NOW);
        let settlement = settling.finish();
        let counted: u64 = settlement.tallies.iter().map(|tally| tally.count).sum();
        assert_eq!(
            (counted, settlement.retries.len(), settlement.dead.len()),
            (5, 2, 1)
        );
        let accepted = settlement
            .tallies
            .iter()
            .find(|t| t.outcome == OutcomeKind::Accepted);
        assert_eq!(accepted.map(|tally| tally.count), Some(2));
    }

    #[test]
    fn a_dead_token_goes_with_what_was_tried_and_since_when() {
        let since = Some(Timestamp::from_secs(5));
        let reason = Cow::Borrowed("unregistered");
        let dead = settle(
            &publish(r#"{"data":{}}"#),
            Outcome::TokenDead { reason, since },
            NOW,
        )
        .dead;
        assert_eq!(
            dead,
            [DeadDevice {
                device: DeviceOrdinal(1),
                token: recipient(1).token,
                since
            }]
        );
    }

    #[test]
    fn a_refused_credential_costs_no_device() {
        let settlement = settle(
            &publish(r#"{"data":{}}"#),
            Outcome::credential_broken("refused"),
            NOW,
        );
        assert_eq!((settlement.dead.len(), settlement.retries.len()), (0, 0));
    }

    #[test]
    fn a_retry_waits_as_asked_and_ends_with_the_time_to_live() {
        let publish = publish(r#"{"data":{},"time_to_live":60}"#);
        let retry = |secs| Outcome::Retry {
            reason: Cow::Borrowed("throttled"),
            after: Some(Duration::from_secs(secs)),
        };
        let settlement = settle(&publish, retry(30), NOW);
        assert!(settlement.retries[0].due_at >= NOW.after(Duration::from_secs(30)));
        assert!(settlement.tallies.is_empty());
        let settlement = settle(&publish, retry(61), NOW);
        assert!(settlement.retries.is_empty());
        assert_eq!(settlement.tallies[0].outcome, OutcomeKind::Expired);
    }

    /// The attempts of each retry, and in how many seconds it is due.
    fn waits(settlement: &Settlement) -> Vec<(u32, u64)> {
        let retries = settlement.retries.iter();
        retries
            .map(|retry| (retry.attempts, retry.due_at.since(NOW).as_secs()))
            .collect()
    }

    #[test]
    fn what_is_put_off_counts_no_attempt_and_waits_longer_each_time() {
        let publish = publish(r#"{"data":{},"time_to_live":600}"#);
        let backoff = Backoff::default();
        let mut settling = Settling::new(&publish, &backoff);
        for waited in [0, 20, 500, 590] {
            let now = NOW.after(Duration::from_secs(waited));
            settling.put_off(&recipient(1), 7, "too_many_hosts".into(), 0.0, now);
        }
        let settlement = settling.finish();
        assert_eq!(waits(&settlement), [(7, 3), (7, 30), (7, 560)]);
        assert_eq!(settlement.tallies[0].outcome, OutcomeKind::Expired);
    }

    #[test]
    fn a_host_that_is_left_alone_costs_no_attempt() {
        let publish = publish(r#"{"data":{},"time_to_live":600}"#);
        let backoff = Backoff::default();
        let mut settling = Settling::new(&publish, &backoff);
        for wait in [1, 60, 601] {
            let wait = (Duration::from_secs(wait), 0.0);
            settling.leave_alone(&recipient(1), 20, "host_left_alone".into(), wait, NOW);
        }
        let settlement = settling.finish();
        assert_eq!(waits(&settlement), [(20, 1), (20, 60), (20, 600)]);
    }

    #[test]
    fn what_was_learned_of_an_apple_device_is_kept() {
        let publish = publish(r#"{"data":{}}"#);
        let backoff = Backoff::default();
        let mut settling = Settling::new(&publish, &backoff);
        let environment = Some(ApnsEnvironment::Sandbox);
        let learned = Attempt {
            environment,
            ..Outcome::Accepted.into()
        };
        settling.take(&recipient(4), learned, 1, || 0.0, || NOW);
        let kept = settling.finish().environments;
        assert_eq!(kept, [(DeviceOrdinal(4), ApnsEnvironment::Sandbox)]);
    }

    #[test]
    fn users_are_told_apart_and_failures_kept() {
        let publish = publish(r#"{"data":{}}"#);
        let backoff = Backoff::default();
        let mut settling = Settling::new(&publish, &backoff);
        let outcomes = [
            (1, Outcome::Accepted),
            (1, Outcome::rejected("payload")),
            (2, Outcome::token_dead("unregistered")),
            (2, Outcome::credential_broken("refused")),
            (3, Outcome::retry("throttled")),
        ];
        for (device, (user, outcome)) in (1..).zip(outcomes) {
            let recipient = Recipient {
                user: Some(UserOrdinal(user)),
                ..recipient(device)
            };
            settling.take(&recipient, attempt(outcome), 1, || 0.5, || NOW);
        }
        let mut settlement = settling.finish();
        settlement.users.sort_by_key(|tally| tally.user);
        let users: Vec<_> = settlement
            .users
            .iter()
            .map(|tally| (tally.user.0, tally.accepted, tally.failed))
            .collect();
        assert_eq!(users, [(1, 1, 1), (2, 0, 2)]);
        let failed: Vec<_> = settlement.failures.iter().map(|f| f.device.0).collect();
        assert_eq!(failed, [2, 4], "a dead token is not tried again");
        assert_eq!(settlement.retries[0].user, Some(UserOrdinal(3)));
    }

    #[test]
    fn the_end_of_a_publish_ends_its_retries() {
        let publish = Publish {
            expires_at: Some(NOW.after(Duration::from_secs(10))),
            ..publish(r#"{"data":{}}"#)
        };
        let retry = |secs| Outcome::Retry {
            reason: Cow::Borrowed("throttled"),
            after: Some(Duration::from_secs(secs)),
        };
        assert_eq!(settle(&publish, retry(5), NOW).retries.len(), 1);
        let settlement = settle(&publish, retry(11), NOW);
        assert_eq!(settlement.tallies[0].outcome, OutcomeKind::Expired);
        assert_eq!(settlement.failures.len(), 1);
    }
}
