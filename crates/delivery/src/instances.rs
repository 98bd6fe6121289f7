//! Instances as the running server needs them: keys opened, a channel to each gateway, cached.
//!
//! Requests and deliveries look instances up here all the time, so they are read from the store once and kept. Any process
//! may change them: the store's configuration version is looked at again when it is older than [`FRESH_FOR`], and a new
//! version empties the cache. So a change counts everywhere within that time. Which instances there are is kept, too: ids that
//! strangers make up cost at most one look at the version at a time, however many they are.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::credential::Credential;
use domain::device::Platform;
use domain::instance::{InstanceId, InstanceName, SecretKey};
use gateway::{Channel, Gateways, Guard};
use store::instances::{CredentialVersion, InstanceRecord};
use store::{Store, StoreError};

use crate::together::Together;
use crate::vault::{Vault, VaultError};

/// How long the cache is trusted before the store is asked whether anything changed.
pub const FRESH_FOR: Duration = Duration::from_millis(500);
/// How long a refused credential is left alone before one delivery tries it again.
pub const PROBE_AFTER: Duration = Duration::from_secs(60);

/// The instances of a store.
pub struct Instances {
    store: Arc<dyn Store>,
    vault: Vault,
    gateways: Gateways,
    clock: Arc<dyn Clock>,
    cached: RwLock<Cached>,
    looking: Together<Result<i64, Arc<StoreError>>>,
    freshness: Mutex<Freshness>,
}

#[derive(Default)]
struct Cached {
    /// Which there are.
    ids: HashSet<InstanceId>,
    /// Those that were used.
    open: HashMap<InstanceId, Arc<Instance>>,
}

struct Freshness {
    version: i64,
    checked_at: Option<tokio::time::Instant>,
}

/// A look at the store that was begun. If whoever looks goes away before it has ended, it is none, and the next caller looks.
struct Begun<'a> {
    freshness: &'a Mutex<Freshness>,
    has_ended: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let freshness = self.freshness.lock();
            freshness.unwrap_or_else(PoisonError::into_inner).checked_at = None;
        }
    }
}

/// An instance, ready for use.
pub struct Instance {
    id: InstanceId,
    name: InstanceName,
    secret_keys: Vec<SecretKey>,
    vapid_public_key: Vec<u8>,
    ways: [Option<Way>; Platform::ALL.len()],
}

/// An instance's way to one gateway.
pub struct Way {
    /// What sends.
    pub channel: Channel,
    /// Which credential it shows; Web Push has none that could be replaced.
    pub version: Option<CredentialVersion>,
    /// When the gateway refused the credential last, in milliseconds; [`NEVER`] while it takes it.
    refused_at: AtomicI64,
}

const NEVER: i64 = i64::MIN;

impl Instances {
    /// The instances of `store`, whose secrets `vault` opens, with channels through `gateways`.
    pub fn new(
        store: Arc<dyn Store>,
        vault: Vault,
        gateways: Gateways,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            vault,
            gateways,
            clock,
            cached: RwLock::default(),
            looking: Together::default(),
            freshness: Mutex::new(Freshness {
                version: -1,
                checked_at: None,
            }),
        })
    }

    /// The instance with this id, as it is now or was at most [`FRESH_FOR`] ago.
    pub async fn get(&self, id: InstanceId) -> Result<Option<Arc<Instance>>, StoreError> {
        let mut version = self.refresh().await?;
        if let Some(instance) = self.cached().open.get(&id) {
            return Ok(Some(Arc::clone(instance)));
        }
        if !self.cached().ids.contains(&id) {
            // It may have been made a moment ago.
            let looked = self
                .looking
                .ask(async || self.look().await.map_err(Arc::new));
            version = looked.await.map_err(|error| StoreError::shared(&error))?;
            if !self.cached().ids.contains(&id) {
                return Ok(None);
            }
        }
        let Some(record) = self.store.instance(id).await? else {
            return Ok(None);
        };
        let instance = Arc::new(self.open(&record).map_err(|error| {
            tracing::error!(instance = %id, %error, "an instance cannot be used: {error}");
            StoreError::Corrupt(error.to_string())
        })?);
        self.keep(&instance, version);
        Ok(Some(instance))
    }

    /// Empties the cache if the configuration changed, and says which version of it is known. One caller asks the store; the
    /// others meanwhile use what is there.
    async fn refresh(&self) -> Result<i64, StoreError> {
        let now = tokio::time::Instant::now();
        {
            let mut freshness = self.freshness();
            if freshness
                .checked_at
                .is_some_and(|at| now.duration_since(at) < FRESH_FOR)
            {
                return Ok(freshness.version);
            }
            freshness.checked_at = Some(now);
        }
        let mut begun = Begun {
            freshness: &self.freshness,
            has_ended: false,
        };
        let looked = self.look().await;
        begun.has_ended = true;
        looked
    }

    /// Asks the store for the version of the configuration, and if it is another one, which instances there are.
    async fn look(&self) -> Result<i64, StoreError> {
        let version = self.store.configuration_version().await?;
        if self.freshness().version == version {
            return Ok(version);
        }
        // Asked for after the version: if there are others by then, the version is another one at the next look.
        let ids = self.store.instance_ids().await?;
        let mut freshness = self.freshness();
        freshness.version = version;
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Cached {
            ids: ids.into_iter().collect(),
            open: HashMap::new(),
        };
        Ok(version)
    }

    /// Caches what was read, unless the configuration changed since: then it may be what was before the change.
    fn keep(&self, instance: &Arc<Instance>, version: i64) {
        // Held across both, so that no change comes between the look and the entry.
        let freshness = self.freshness();
        if freshness.version == version {
            let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
            cached.open.insert(instance.id, Arc::clone(instance));
        }
    }

    fn cached(&self) -> RwLockReadGuard<'_, Cached> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn freshness(&self) -> MutexGuard<'_, Freshness> {
        self.freshness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, record: &InstanceRecord) -> Result<Instance, VaultError> {
        let secret_keys: Result<Vec<_>, _> = record
            .secret_keys
            .iter()
            .map(|key| self.vault.open_secret_key(record.id, key))
            .collect();
        let mut ways = [const { None }; Platform::ALL.len()];
        let vapid = Arc::new(self.vault.open_vapid_key(record)?);
        ways[Platform::Web as usize] = Some(Way::new(self.gateways.web_push(vapid), None, None));
        for credential in &record.credentials {
            let channel = match self.vault.open_credential(record.id, credential)? {
                Credential::Apns(apns) => self.gateways.apns(Arc::new(apns)),
                Credential::Fcm(fcm) => self.gateways.fcm(Arc::new(fcm)),
            };
            let refused_at = credential.broken.as_ref().map(|broken| broken.since);
            ways[credential.platform as usize] =
                Some(Way::new(channel, Some(credential.version), refused_at));
        }
        Ok(Instance {
            id: record.id,
            name: record.name.clone(),
            secret_keys: secret_keys?,
            vapid_public_key: record.vapid_public_key.clone(),
            ways,
        })
    }

    /// What opens their secrets.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The guard that URLs chosen by others have to pass.
    pub fn guard(&self) -> &Guard {
        self.gateways.guard()
    }

    /// What they send through.
    pub(crate) fn gateways(&self) -> &Gateways {
        &self.gateways
    }

    /// Writes down that a gateway refuses an instance's credential, or takes it again, once per change.
    pub(crate) async fn mark(&self, instance: &Instance, platform: Platform, broken: Option<&str>) {
        let Some(way) = instance.way(platform) else {
            return;
        };
        let now = self.clock.now();
        let before = match broken {
            Some(_) => way.refused_at.swap(now.as_millis(), Ordering::Relaxed),
            // The common case, once per delivery, does not write to memory that all cores share.
            None if way.refused_at.load(Ordering::Relaxed) == NEVER => return,
            None => way.refused_at.swap(NEVER, Ordering::Relaxed),
        };
        if (before != NEVER) == broken.is_some() {
            return;
        }
        match broken {
            Some(reason) => tracing::error!(
                instance = %instance.id, %platform, reason,
                "the gateway refuses the instance's credential: set a new one"
            ),
            None => {
                tracing::info!(instance = %instance.id, %platform, "the gateway takes the instance's credential again");
            }
        }
        let Some(version) = way.version else { return };
        if let Err(error) = self
            .store
            .mark_credential(instance.id, platform, version, broken, now)
            .await
        {
            tracing::warn!(instance = %instance.id, %platform, %error, "the state of a credential could not be kept");
        }
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instances(…)")
    }
}

impl Instance {
    /// Its id.
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// What people call it.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Whether `bearer` is one of its active secret keys. Every key is compared, each in constant time.
    pub fn accepts(&self, bearer: &str) -> bool {
        self.secret_keys
            .iter()
            .fold(false, |found, key| key.matches(bearer.as_bytes()) | found)
    }

    /// Its active secret keys.
    pub fn secret_keys(&self) -> &[SecretKey] {
        &self.secret_keys
    }

    /// The public half of its VAPID key pair: an uncompressed P-256 point.
    pub fn vapid_public_key(&self) -> &[u8] {
        &self.vapid_public_key
    }

    /// Its way to the gateway of a platform, if it has a credential for it.
    pub fn way(&self, platform: Platform) -> Option<&Way> {
        self.ways[platform as usize].as_ref()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({})", self.id)
    }
}

impl Way {
    fn new(
        channel: Channel,
        version: Option<CredentialVersion>,
        refused_at: Option<Timestamp>,
    ) -> Self {
        let refused_at = AtomicI64::new(refused_at.map_or(NEVER, Timestamp::as_millis));
        Self {
            channel,
            version,
            refused_at,
        }
    }

    /// Whether a delivery may be tried: always while the credential is taken, else one in [`PROBE_AFTER`].
    pub(crate) fn admits(&self, clock: &dyn Clock) -> bool {
        let refused_at = self.refused_at.load(Ordering::Relaxed);
        if refused_at == NEVER {
            return true;
        }
        let now = clock.now();
        let refused = Timestamp::from_millis(refused_at);
        // What was refused in the future was so before the clock was set back.
        (now.since(refused) >= PROBE_AFTER || now < refused)
            && self
                .refused_at
                .compare_exchange(
                    refused_at,
                    now.as_millis(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }
}
