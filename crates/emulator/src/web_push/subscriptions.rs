//! The push endpoints that were handed out, and to whom.
//!
//! A subscription belongs to a browser, or to the emulator, which then holds its keys. Invariant: an id is never
//! given twice, and one that is gone stays known as gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PUSH_PATH;
use super::encryption::{Keys, POINT_BYTES};
use crate::Error;

/// How many subscriptions there can be, those that are gone included.
pub const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// Browsers differ in whether they pad.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A subscription as `PushSubscription.toJSON()` gives it to a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushSubscription {
    /// Where to send messages.
    pub endpoint: String,
    /// Always `null`: these subscriptions do not expire.
    pub expiration_time: Option<i64>,
    /// What to encrypt them with.
    pub keys: PushSubscriptionKeys,
}

/// The public half of a subscription's keys, in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushSubscriptionKeys {
    /// The P-256 public key, uncompressed.
    pub p256dh: String,
    /// The authentication secret.
    pub auth: String,
}

/// The browser that a subscription belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uaid: String,
    pub(crate) channel_id: String,
}

enum Holder {
    Emulator(Keys),
    Browser(Owner),
}

/// One push endpoint.
pub(crate) struct Subscription {
    id: String,
    application_server_key: Option<Vec<u8>>,
    holder: Holder,
    gone: AtomicBool,
}

impl Subscription {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn application_server_key(&self) -> Option<&[u8]> {
        self.application_server_key.as_deref()
    }

    pub(super) fn keys(&self) -> Option<&Keys> {
        match &self.holder {
            Holder::Emulator(keys) => Some(keys),
            Holder::Browser(_) => None,
        }
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        match &self.holder {
            Holder::Emulator(_) => None,
            Holder::Browser(owner) => Some(owner),
        }
    }
}

/// All of them.
pub(crate) struct Registry {
    /// `https://127.0.0.1:PORT`, and the other names of the same listener.
    origins: Vec<String>,
    all: RwLock<HashMap<Box<str>, Arc<Subscription>>>,
}

impl Registry {
    /// `origins` are the names of the listener; the first is used for endpoints.
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self {
            origins,
            all: RwLock::default(),
        }
    }

    pub(super) fn origins(&self) -> &[String] {
        &self.origins
    }

    fn url(&self, path: &str, id: &str) -> String {
        format!(
            "{}{path}{id}",
            self.origins.first().map_or("", String::as_str)
        )
    }

    pub(crate) fn endpoint(&self, id: &str) -> String {
        self.url(PUSH_PATH, id)
    }

    pub(super) fn message_url(&self, id: &str) -> String {
        self.url("/message/", id)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Subscription>> {
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Makes a subscription whose keys the emulator holds.
    pub(crate) fn create(
        &self,
        application_server_key: Option<&str>,
    ) -> Result<PushSubscription, Error> {
        let keys = Keys::generate()?;
        let public = PushSubscriptionKeys {
            p256dh: URL_SAFE_NO_PAD.encode(keys.public()),
            auth: URL_SAFE_NO_PAD.encode(keys.auth()),
        };
        let subscription = self.insert(application_server_key, Holder::Emulator(keys))?;
        Ok(PushSubscription {
            endpoint: self.endpoint(subscription.id()),
            expiration_time: None,
            keys: public,
        })
    }

    /// Makes a subscription for a browser; returns its id.
    pub(crate) fn create_for(
        &self,
        owner: Owner,
        application_server_key: Option<&str>,
    ) -> Result<String, Error> {
        Ok(self
            .insert(application_server_key, Holder::Browser(owner))?
            .id()
            .to_owned())
    }

    fn insert(
        &self,
        application_server_key: Option<&str>,
        holder: Holder,
    ) -> Result<Arc<Subscription>, Error> {
        let application_server_key = application_server_key.map(parse_key).transpose()?;
        // 244 random bits: an endpoint is a capability (RFC 8030 section 8.3).
        let id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let subscription = Arc::new(Subscription {
            id,
            application_server_key,
            holder,
            gone: AtomicBool::new(false),
        });
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SUBSCRIPTIONS_MAX {
            return Err(Error::Request(format!(
                "there are already {SUBSCRIPTIONS_MAX} subscriptions"
            )));
        }
        all.insert(subscription.id().into(), Arc::clone(&subscription));
        Ok(subscription)
    }

    /// From now on the endpoint answers 410; `false` if there is none.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let found = self.get(id);
        if let Some(subscription) = &found {
            subscription.gone.store(true, Ordering::Release);
        }
        found.is_some()
    }
}

/// An application server key (RFC 8292 section 4.1): an uncompressed point in base64url.
fn parse_key(text: &str) -> Result<Vec<u8>, Error> {
    match LENIENT.decode(text) {
        Ok(point) if point.len() == POINT_BYTES && point.first() == Some(&4) => Ok(point),
        _ => Err(Error::Request(
            "applicationServerKey must be an uncompressed P-256 point in base64url".to_owned(),
        )),
    }
}
