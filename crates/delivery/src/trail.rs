//! Tells the debug console what happens, while somebody watches.
//!
//! Which instances are watched is asked of the store once in `LOOK_EVERY`; for all others a note costs one look at an empty
//! map. For those that are, no more is told than anybody can read: [`TOLD_PER_SECOND_MAX`] on each node, and of each page of
//! a fan-out the first few deliveries and a sum. What is told is queued, and dropped where the queue is full: nothing ever
//! waits for the console. Only a page's deliveries are written before the page is settled, since afterwards a dead device
//! has no name any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::outcome::Outcome;
use domain::publish::{Audience, Publish};
use store::Store;
use store::console::{Trace, TraceKind};
use store::publishes::NewPublish;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How often the store is asked who is watched, which is how long a console may stay empty after it is opened.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many traces of one instance a node writes in a second at most.
pub const TOLD_PER_SECOND_MAX: usize = 200;
/// How many deliveries of one page are told.
const TOLD_PER_PAGE_MAX: usize = 50;
/// How many traces wait to be written.
const QUEUE_LENGTH: usize = 4096;
/// How many are written at once.
const BATCH_LENGTH: usize = 500;
/// How many characters of a payload are told.
const PAYLOAD_LENGTH_MAX: usize = 2000;
/// How long a page waits for its deliveries to be written at most.
const PAGE_WAIT: Duration = Duration::from_secs(2);

/// Where things are noted. Cheap to clone.
#[derive(Clone)]
pub struct Trail(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Spares everybody the lock while nobody watches anything.
    any: AtomicBool,
    watched: RwLock<HashMap<InstanceId, bool>>,
    budgets: Mutex<HashMap<InstanceId, Budget>>,
    queue: mpsc::Sender<Note>,
}

/// What is to be written.
#[derive(Debug)]
struct Note {
    instance: InstanceId,
    traces: Vec<Trace>,
    /// Dropped once it is written, for who waits for that.
    written: Option<oneshot::Sender<()>>,
}

/// What may still be told of an instance in this second.
#[derive(Debug, Clone, Copy)]
struct Budget {
    second: i64,
    left: usize,
    skipped: usize,
}

/// The deliveries of a page, as far as they are told.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    first: Vec<(DeviceOrdinal, TraceKind, String)>,
    all: usize,
}

impl Tried {
    /// Takes one more.
    pub(crate) fn take(&mut self, device: DeviceOrdinal, outcome: &Outcome) {
        self.all += 1;
        if self.first.len() < TOLD_PER_PAGE_MAX {
            let (kind, detail) = told(outcome);
            self.first.push((device, kind, detail));
        }
    }
}

/// Writes what is noted. Has to run.
#[derive(Debug)]
pub struct Teller {
    trail: Trail,
    notes: mpsc::Receiver<Note>,
    stopping: CancellationToken,
}

impl Teller {
    /// Runs until the node stops.
    pub async fn run(self) {
        self.trail.run(self.notes, self.stopping).await;
    }
}

impl Trail {
    /// A trail, and what writes it until `stopping`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> (Self, Teller) {
        let (queue, notes) = mpsc::channel(QUEUE_LENGTH);
        let trail = Self(Arc::new(Shared {
            store,
            clock,
            any: AtomicBool::new(false),
            watched: RwLock::default(),
            budgets: Mutex::default(),
            queue,
        }));
        let teller = Teller {
            trail: trail.clone(),
            notes,
            stopping,
        };
        (trail, teller)
    }

    /// Whether somebody watches an instance; if so, whether its payloads are shown.
    pub fn watched(&self, instance: InstanceId) -> Option<bool> {
        if !self.0.any.load(Ordering::Relaxed) {
            return None;
        }
        let watched = self
            .0
            .watched
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        watched.get(&instance).copied()
    }

    /// Notes what `trace` makes of the present time, if somebody watches. Never waits.
    pub fn note(&self, instance: InstanceId, trace: impl FnOnce(Timestamp) -> Trace) {
        if self.watched(instance).is_none() {
            return;
        }
        let now = self.0.clock.now();
        if self.grant(instance, now, 1) == 1 {
            // A full queue means that the store is behind; the console is not what it should catch up with first.
            let _ = self.0.queue.try_send(Note {
                instance,
                traces: vec![trace(now)],
                written: None,
            });
        }
    }

    /// Writes what became of a page of deliveries, before it is settled.
    pub(crate) async fn page(&self, publish: &Publish, page: &Tried) {
        let (tried, all) = (&page.first, page.all);
        let instance = publish.instance;
        let now = self.0.clock.now();
        let granted = self.grant(instance, now, tried.len());
        let told = &tried[..granted];
        let ordinals = told.iter().map(|(device, ..)| *device).collect();
        let Ok(known) = self.0.store.addressees(instance, ordinals).await else {
            return;
        };
        let mut traces: Vec<Trace> = told
            .iter()
            .map(|(device, kind, detail)| {
                let addressee = known.iter().find(|known| known.ordinal == *device);
                Trace {
                    device: addressee.map(|known| known.device),
                    user: addressee.and_then(|known| known.user.clone()),
                    publish: Some(publish.id),
                    detail: detail.clone(),
                    ..Trace::new(now, *kind)
                }
            })
            .collect();
        if all > told.len() {
            traces.push(Trace {
                publish: Some(publish.id),
                detail: format!(
                    "{} more deliveries of this page are not shown one by one",
                    all - told.len()
                ),
                ..Trace::new(now, TraceKind::Skipped)
            });
        }
        let (written, done) = oneshot::channel();
        let note = Note {
            instance,
            traces,
            written: Some(written),
        };
        if self.0.queue.try_send(note).is_ok() {
            let _ = tokio::time::timeout(PAGE_WAIT, done).await;
        }
    }

    /// What is told of a publish that is about to be accepted, if somebody watches.
    pub(crate) fn of_publish(&self, new: &NewPublish) -> Option<Trace> {
        let publish = &*new.publish;
        let shows_payloads = self.watched(publish.instance)?;
        let named = new.audience.named();
        let mut trace = Trace {
            publish: Some(publish.id),
            ..Trace::new(publish.accepted_at, TraceKind::Published)
        };
        let platforms: Vec<&str> = publish.payloads.platforms().map(Platform::as_str).collect();
        let kind = new.audience.kind().as_str();
        let kind = if named == 1 {
            kind.trim_end_matches('s')
        } else {
            kind
        };
        trace.detail = format!("to {named} {kind}, on {}", platforms.join(", "));
        match &new.audience {
            Audience::Interests(names) => trace.interests = names.iter().cloned().collect(),
            Audience::Users(users) if named == 1 => trace.user = users.first().cloned(),
            Audience::Users(_) | Audience::List(_) => {}
        }
        if publish.send_at > publish.accepted_at {
            trace.detail += &format!(", to be sent at {}", publish.send_at);
        }
        if shows_payloads && let Ok(payload) = serde_json::to_string(&publish.payloads) {
            trace.detail.push('\n');
            trace
                .detail
                .extend(payload.chars().take(PAYLOAD_LENGTH_MAX));
        }
        Some(trace)
    }

    /// How many of `wanted` traces may be written now.
    fn grant(&self, instance: InstanceId, now: Timestamp, wanted: usize) -> usize {
        let mut budgets = self.budgets();
        let second = now.as_secs();
        let budget = budgets.entry(instance).or_insert(Budget {
            second,
            left: TOLD_PER_SECOND_MAX,
            skipped: 0,
        });
        if budget.second != second {
            *budget = Budget {
                second,
                left: TOLD_PER_SECOND_MAX,
                ..*budget
            };
        }
        let granted = wanted.min(budget.left);
        budget.left -= granted;
        budget.skipped += wanted - granted;
        granted
    }

    fn budgets(&self) -> MutexGuard<'_, HashMap<InstanceId, Budget>> {
        self.0
            .budgets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self, mut notes: mpsc::Receiver<Note>, stopping: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut waiting = Vec::with_capacity(BATCH_LENGTH);
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                _ = look.tick() => self.look().await,
                count = notes.recv_many(&mut waiting, BATCH_LENGTH) => {
                    if count == 0 {
                        return;
                    }
                    self.write(std::mem::take(&mut waiting)).await;
                }
            }
        }
    }

    /// Asks who is watched, and tells what had to be left out.
    async fn look(&self) {
        let now = self.0.clock.now();
        match self.0.store.watched_trails(now).await {
            Ok(all) => {
                let watched: HashMap<_, _> = all
                    .into_iter()
                    .map(|one| (one.instance, one.shows_payloads))
                    .collect();
                self.budgets()
                    .retain(|instance, _| watched.contains_key(instance));
                self.0.any.store(!watched.is_empty(), Ordering::Relaxed);
                *self
                    .0
                    .watched
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = watched;
            }
            Err(error) => tracing::debug!(%error, "who is watched could not be read"),
        }
        let skipped: Vec<(InstanceId, usize)> = self
            .budgets()
            .iter_mut()
            .filter(|(_, budget)| budget.skipped > 0)
            .map(|(instance, budget)| (*instance, std::mem::take(&mut budget.skipped)))
            .collect();
        for (instance, count) in skipped {
            let trace = Trace {
                detail: format!("{count} more things happened than are shown"),
                ..Trace::new(now, TraceKind::Skipped)
            };
            self.write(vec![Note {
                instance,
                traces: vec![trace],
                written: None,
            }])
            .await;
        }
    }

    async fn write(&self, notes: Vec<Note>) {
        let mut trails: HashMap<InstanceId, Vec<Trace>> = HashMap::new();
        let mut waiting = Vec::new();
        for note in notes {
            trails.entry(note.instance).or_default().extend(note.traces);
            waiting.extend(note.written);
        }
        for (instance, traces) in trails {
            if let Err(error) = self.0.store.append_trail(instance, traces).await {
                tracing::debug!(%instance, %error, "the trail of an instance could not be written");
            }
        }
        drop(waiting);
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail(…)")
    }
}

/// What a trace says of an outcome.
fn told(outcome: &Outcome) -> (TraceKind, String) {
    let kind = match outcome {
        Outcome::Accepted => TraceKind::Accepted,
        Outcome::Retry { .. } => TraceKind::Retried,
        Outcome::TokenDead { .. } => TraceKind::Removed,
        Outcome::Rejected { .. } | Outcome::CredentialBroken { .. } => TraceKind::Failed,
    };
    (kind, outcome.reason().unwrap_or_default().to_owned())
}
