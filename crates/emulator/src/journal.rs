//! What arrived: the stream of notifications, the latest of them, and the counts.
//!
//! Owns nothing about any protocol. Memory is bounded: the ring by [`RECENT_MAX`], the stream by [`STREAM_MAX`]
//! (a reader that is slower than that loses the oldest and is told how many), the ledger by [`LEDGER_MAX`].
//! Invariant: a notification is counted and kept before its answer leaves.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::behaviour::Gateway;

/// How many notifications [`crate::Emulators::recent`] remembers.
pub const RECENT_MAX: usize = 1024;
/// How many notifications a subscriber may lag behind.
pub const STREAM_MAX: usize = 65_536;
/// For how many different tokens per gateway acceptances are counted one by one.
pub const LEDGER_MAX: usize = 1 << 20;

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The gateway took it.
    Accepted,
    /// The token is said to be dead.
    Dead,
    /// 429.
    Throttled,
    /// 5xx.
    ServerError,
    /// The sender's credential was refused.
    CredentialRefused,
    /// Another 4xx: the request was wrong, or was said to be.
    Refused,
    /// An answer that is not in the documentation.
    Malformed,
    /// Taken, never answered: hang, reset, cut.
    Unanswered,
}

impl Verdict {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Dead,
        Self::Throttled,
        Self::ServerError,
        Self::CredentialRefused,
        Self::Refused,
        Self::Malformed,
        Self::Unanswered,
    ];

    /// What an answer with `status` is when nothing more is known about it.
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Accepted,
            401 | 403 => Self::CredentialRefused,
            404 | 410 => Self::Dead,
            429 => Self::Throttled,
            500.. => Self::ServerError,
            _ => Self::Refused,
        }
    }
}

/// One request to send a notification, as a gateway saw it. Serialises to one JSON line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notification {
    /// When, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// Which service.
    pub gateway: Gateway,
    /// The device token, the FCM registration token, or the id of the Web Push subscription (the last segment of its
    /// endpoint). Empty when the request named none.
    pub token: String,
    /// `apns-topic`, or the Web Push `Topic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The request headers that say how to deliver, without credentials.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<Cow<'static, str>, String>,
    /// The payload: APNs the body, FCM the `message`, Web Push the clear text if it is JSON and the emulator holds the
    /// subscription's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// What became of it.
    pub verdict: Verdict,
    /// The answered status; none if there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The gateway's word for a refusal, or a remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// `apns-id`, the FCM message name, or the id of the Web Push message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Notification {
    /// The payload parsed; `Null` if there is none.
    pub fn payload_value(&self) -> serde_json::Value {
        let raw = self.payload.as_deref().map(RawValue::get);
        raw.and_then(|raw| serde_json::from_str(raw).ok())
            .unwrap_or(serde_json::Value::Null)
    }
}

#[derive(Default)]
struct Counts {
    verdicts: [AtomicU64; Verdict::ALL.len()],
    /// Hash of the token -> how often it was accepted. 64 bits are enough for a count in tests.
    accepted: Mutex<HashMap<u64, u32>>,
}

/// Everything that arrived.
pub(crate) struct Journal {
    /// Nothing once the emulators have stopped, which ends the subscribers' streams.
    stream: RwLock<Option<broadcast::Sender<Arc<Notification>>>>,
    recent: Mutex<VecDeque<Arc<Notification>>>,
    counts: [Counts; Gateway::ALL.len()],
    hasher: RandomState,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            stream: RwLock::new(Some(broadcast::Sender::new(STREAM_MAX))),
            recent: Mutex::new(VecDeque::with_capacity(RECENT_MAX)),
            counts: Default::default(),
            hasher: RandomState::new(),
        }
    }

    /// Counts, keeps and hands out `notification`.
    pub(crate) fn record(&self, notification: Notification) {
        let counts = &self.counts[notification.gateway.index()];
        counts.verdicts[notification.verdict as usize].fetch_add(1, Ordering::Relaxed);
        if notification.verdict == Verdict::Accepted {
            let key = self.hasher.hash_one(notification.token.as_str());
            let mut accepted = counts
                .accepted
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let room = accepted.len() < LEDGER_MAX;
            if let Some(count) = accepted.get_mut(&key) {
                *count = count.saturating_add(1);
            } else if room {
                accepted.insert(key, 1);
            }
        }
        let notification = Arc::new(notification);
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == RECENT_MAX {
                recent.pop_front();
            }
            recent.push_back(Arc::clone(&notification));
        }
        if let Some(stream) = &*self.stream.read().unwrap_or_else(PoisonError::into_inner) {
            // An error only says that nobody listens.
            let _ = stream.send(notification);
        }
    }

    /// Counts something that is not a notification: an answer of the token endpoint.
    pub(crate) fn count(&self, gateway: Gateway, verdict: Verdict) {
        self.counts[gateway.index()].verdicts[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Notification>> {
        match &*self.stream.read().unwrap_or_else(PoisonError::into_inner) {
            Some(stream) => stream.subscribe(),
            // A stream that has already ended.
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Ends all streams after what is in them.
    pub(crate) fn close(&self) {
        *self.stream.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn recent(&self) -> Vec<Arc<Notification>> {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub(crate) fn total(&self, gateway: Gateway, verdict: Verdict) -> u64 {
        self.counts[gateway.index()].verdicts[verdict as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn totals(&self, gateway: Gateway) -> Totals {
        let verdicts = Verdict::ALL.map(|verdict| (verdict, self.total(gateway, verdict)));
        Totals {
            verdicts: verdicts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
            distinct_tokens_accepted: self.ledger(gateway, HashMap::len),
        }
    }

    pub(crate) fn accepted_for(&self, gateway: Gateway, token: &str) -> u32 {
        let key = self.hasher.hash_one(token);
        self.ledger(gateway, |accepted| accepted.get(&key).copied().unwrap_or(0))
    }

    fn ledger<T>(&self, gateway: Gateway, read: impl FnOnce(&HashMap<u64, u32>) -> T) -> T {
        read(
            &self.counts[gateway.index()]
                .accepted
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Forgets the latest notifications and all counts.
    pub(crate) fn reset(&self) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        for counts in &self.counts {
            counts
                .verdicts
                .iter()
                .for_each(|count| count.store(0, Ordering::Relaxed));
            counts
                .accepted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
    }
}

/// How many notifications a gateway has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// By what became of them; what never happened is left out.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// To how many different tokens at least one was accepted; counted up to [`LEDGER_MAX`].
    pub distinct_tokens_accepted: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(token: &str, verdict: Verdict) -> Notification {
        Notification {
            at: Timestamp::from_secs(1),
            gateway: Gateway::Fcm,
            token: token.to_owned(),
            topic: None,
            headers: BTreeMap::new(),
            payload: RawValue::from_string(r#"{"a":1}"#.to_owned()).ok(),
            verdict,
            status: Some(200),
            reason: None,
            id: None,
        }
    }

    #[test]
    fn the_ring_is_bounded_and_the_counts_are_not() {
        let journal = Journal::new();
        for round in 0..2 * RECENT_MAX {
            journal.record(notification(&format!("t{}", round % 10), Verdict::Accepted));
        }
        journal.record(notification("t0", Verdict::Dead));
        assert_eq!(journal.recent().len(), RECENT_MAX);
        let totals = journal.totals(Gateway::Fcm);
        assert_eq!(totals.verdicts[&Verdict::Accepted], 2 * RECENT_MAX as u64);
        assert_eq!(totals.distinct_tokens_accepted, 10);
        assert_eq!(journal.accepted_for(Gateway::Fcm, "t0"), 205);
        journal.reset();
        assert_eq!(journal.totals(Gateway::Fcm).verdicts.len(), 0);
    }

    #[test]
    fn a_notification_goes_through_json_and_back() {
        let line = serde_json::to_string(&notification("t", Verdict::CredentialRefused)).unwrap();
        assert_eq!(
            line,
            r#"{"at":1000,"gateway":"fcm","token":"t","payload":{"a":1},"verdict":"credential-refused","status":200}"#
        );
        let back: Notification = serde_json::from_str(&line).unwrap();
        assert_eq!(back.payload_value()["a"], 1);
    }
}
