//! Which browsers there are and what waits for each.
//!
//! Knows no socket: a session asks for what is due and reports what was acknowledged. Invariant: of several
//! connections of one browser only the newest gets messages.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use uuid::Uuid;

use super::messages::ToBrowser;
use super::{AGENTS_MAX, CHANNELS_MAX, PENDING_MAX};
use crate::Error;
use crate::web_push::{Owner, Registry};

/// A message for a browser.
pub(crate) struct Push<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) ttl: Duration,
    pub(crate) topic: Option<&'a str>,
}

struct Pending {
    version: String,
    channel_id: String,
    topic: Option<String>,
    expires: Timestamp,
    /// It came with a TTL of zero: for this very connection or not at all.
    only_now: bool,
    frame: String,
    /// The session that it was last sent in; 0: none yet.
    sent_in: u64,
}

#[derive(Default)]
struct Agent {
    channels: HashMap<String, String>,
    pending: VecDeque<Pending>,
    wake: Arc<Notify>,
    /// Counts the browser's connections; the newest one is served.
    session: u64,
    connected: bool,
    acked: HashMap<u32, u64>,
}

/// A browser, as the control API shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AgentView {
    uaid: String,
    connected: bool,
    channels: usize,
    pending: usize,
    /// Acknowledgements (100 to 102) and complaints (301 to 303) by their code.
    codes: HashMap<u32, u64>,
}

/// One connection of a browser.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) uaid: String,
    number: u64,
    pub(super) wake: Arc<Notify>,
}

/// All browsers.
pub(crate) struct Agents {
    registry: Arc<Registry>,
    all: Mutex<HashMap<String, Agent>>,
}

impl Agents {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            all: Mutex::default(),
        }
    }

    fn with<T>(&self, uaid: &str, change: impl FnOnce(&mut Agent) -> T) -> Option<T> {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(uaid)
            .map(change)
    }

    /// Takes a browser's hello. One that is not known gets a new name, which makes it drop its old subscriptions.
    pub(super) fn hello(&self, uaid: Option<String>) -> Option<Session> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let uaid = uaid
            .filter(|uaid| all.contains_key(uaid))
            .unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        if !all.contains_key(&uaid) && all.len() >= AGENTS_MAX {
            all.retain(|_, agent| agent.connected || !agent.channels.is_empty());
            if all.len() >= AGENTS_MAX {
                return None;
            }
        }
        let agent = all.entry(uaid.clone()).or_default();
        agent.session += 1;
        agent.connected = true;
        agent.pending.retain(|pending| !pending.only_now);
        // A connection that this one replaces finds out by its number.
        agent.wake.notify_one();
        agent.wake = Arc::new(Notify::new());
        Some(Session {
            uaid,
            number: agent.session,
            wake: Arc::clone(&agent.wake),
        })
    }

    pub(super) fn bye(&self, session: &Session) {
        self.with(&session.uaid, |agent| {
            if agent.session == session.number {
                agent.connected = false;
            }
        });
    }

    /// Subscribes a channel; asking again for the same channel gives the same endpoint.
    pub(super) fn register(
        &self,
        session: &Session,
        channel_id: &str,
        key: Option<&str>,
    ) -> Result<String, Error> {
        let (known, channels) = self
            .with(&session.uaid, |agent| {
                (
                    agent.channels.get(channel_id).cloned(),
                    agent.channels.len(),
                )
            })
            .ok_or_else(|| Error::Request("the browser is not known any more".to_owned()))?;
        if let Some(id) = known {
            return Ok(self.registry.endpoint(&id));
        }
        if channels >= CHANNELS_MAX || Uuid::try_parse(channel_id).is_err() {
            return Err(Error::Request(format!(
                "channelID must be a UUID, and there may be {CHANNELS_MAX} of them"
            )));
        }
        let owner = Owner {
            uaid: session.uaid.clone(),
            channel_id: channel_id.to_owned(),
        };
        let id = self.registry.create_for(owner, key)?;
        self.with(&session.uaid, |agent| {
            agent.channels.insert(channel_id.to_owned(), id.clone())
        });
        Ok(self.registry.endpoint(&id))
    }

    /// Ends a channel: its endpoint answers 410 from now on.
    pub(super) fn unregister(&self, session: &Session, channel_id: &str) {
        let id = self.with(&session.uaid, |agent| {
            agent
                .pending
                .retain(|pending| pending.channel_id != channel_id);
            agent.channels.remove(channel_id)
        });
        if let Some(id) = id.flatten() {
            self.registry.remove(&id);
        }
    }

    /// Takes an acknowledgement of a message, or with `done` unset a complaint about one.
    pub(super) fn settle(&self, session: &Session, version: &str, code: Option<u32>, done: bool) {
        self.with(&session.uaid, |agent| {
            if done {
                agent.pending.retain(|pending| pending.version != version);
            }
            // The protocol has six codes; anything else is counted as one.
            let code = code
                .filter(|code| [100, 101, 102, 301, 302, 303].contains(code))
                .unwrap_or(0);
            *agent.acked.entry(code).or_default() += 1;
        });
    }

    /// Queues a message for its browser and wakes it.
    pub(crate) fn push(&self, owner: &Owner, push: &Push<'_>, now: Timestamp) {
        let version = Uuid::new_v4().to_string();
        let frame = ToBrowser::notification(&owner.channel_id, &version, push.body).text();
        self.with(&owner.uaid, |agent| {
            // RFC 8030 section 5.2: a TTL of zero is for those who are there.
            if push.ttl.is_zero() && !agent.connected {
                return;
            }
            // RFC 8030 section 5.4: a topic replaces what waits under the same name.
            agent.pending.retain(|pending| {
                push.topic.is_none()
                    || pending.topic.as_deref() != push.topic
                    || pending.channel_id != owner.channel_id
            });
            if agent.pending.len() >= PENDING_MAX {
                agent.pending.pop_front();
            }
            agent.pending.push_back(Pending {
                version,
                channel_id: owner.channel_id.clone(),
                topic: push.topic.map(str::to_owned),
                expires: now.after(push.ttl),
                only_now: push.ttl.is_zero(),
                frame,
                sent_in: 0,
            });
            agent.wake.notify_one();
        });
    }

    /// What is to be sent in this session now; nothing at all if a newer connection took over.
    pub(super) fn take_due(&self, session: &Session, now: Timestamp) -> Option<Vec<String>> {
        self.with(&session.uaid, |agent| {
            if agent.session != session.number {
                return None;
            }
            agent
                .pending
                .retain(|pending| pending.only_now || pending.expires > now);
            let due = agent
                .pending
                .iter_mut()
                .filter(|pending| pending.sent_in != session.number);
            let send = |pending: &mut Pending| {
                pending.sent_in = session.number;
                pending.frame.clone()
            };
            Some(due.map(send).collect())
        })
        .flatten()
    }

    /// All browsers, for the control API.
    pub(crate) fn list(&self) -> Vec<AgentView> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |(uaid, agent): (&String, &Agent)| AgentView {
            uaid: uaid.clone(),
            connected: agent.connected,
            channels: agent.channels.len(),
            pending: agent.pending.len(),
            codes: agent.acked.clone(),
        };
        all.iter().map(view).collect()
    }
}
