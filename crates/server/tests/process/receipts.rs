//! What the gateways accepted, by publish and device.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use emulator::{Emulators, Notification, Verdict};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// How often each device received each publish: publish -> token -> count.
type Ledger = HashMap<String, HashMap<String, u32>>;

/// Reads along with the emulators until it is dropped.
pub(crate) struct Receipts {
    ledger: Arc<Mutex<Ledger>>,
    _reader: JoinSet<()>,
}

impl Receipts {
    pub(crate) fn of(emulators: &Emulators) -> Self {
        let ledger = Arc::<Mutex<Ledger>>::default();
        let mut notifications = emulators.subscribe();
        let mut reader = JoinSet::new();
        let writing = Arc::clone(&ledger);
        reader.spawn(async move {
            loop {
                match notifications.recv().await {
                    Ok(notification) => enter(&mut writing.lock().unwrap(), &notification),
                    Err(RecvError::Closed) => break,
                    Err(RecvError::Lagged(lost)) => {
                        panic!("the test is too slow: {lost} notifications were not counted")
                    }
                }
            }
        });
        Self {
            ledger,
            _reader: reader,
        }
    }

    /// To how many devices a publish came at least once.
    pub(crate) fn devices(&self, publish: &str) -> usize {
        self.tokens(publish).len()
    }

    /// Which devices a publish came to.
    pub(crate) fn tokens(&self, publish: &str) -> HashSet<String> {
        let ledger = self.ledger.lock().unwrap();
        let tokens = ledger.get(publish).into_iter().flat_map(HashMap::keys);
        tokens.cloned().collect()
    }

    /// How many copies of anything came, the first ones included.
    pub(crate) fn copies(&self) -> usize {
        let ledger = self.ledger.lock().unwrap();
        ledger
            .values()
            .flat_map(HashMap::values)
            .map(|count| *count as usize)
            .sum()
    }

    /// How many copies of a publish came beyond the first to each device.
    pub(crate) fn repeated(&self, publish: &str) -> usize {
        let ledger = self.ledger.lock().unwrap();
        let counts = ledger.get(publish).into_iter().flat_map(HashMap::values);
        counts.map(|count| *count as usize - 1).sum()
    }

    /// The publishes of which at least one copy came.
    pub(crate) fn publishes(&self) -> Vec<String> {
        self.ledger.lock().unwrap().keys().cloned().collect()
    }
}

fn enter(ledger: &mut Ledger, notification: &Notification) {
    if notification.verdict != Verdict::Accepted {
        return;
    }
    let payload = notification.payload_value();
    let pusher = match &payload["data"]["pusher"] {
        // FCM's data are texts.
        serde_json::Value::String(text) => serde_json::from_str(text).unwrap(),
        object => object.clone(),
    };
    let publish = pusher["publishId"].as_str().unwrap().to_owned();
    *ledger
        .entry(publish)
        .or_default()
        .entry(notification.token.clone())
        .or_default() += 1;
}
