//! What all nodes of a run share: the store, the devices, the time, and the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use delivery::vault::Vault;
use domain::clock::{Clock, SystemClock, Timestamp};
use domain::credential::{ApnsCredential, Credential, FcmCredential};
use domain::device::{
    BundleId, DeviceId, DeviceMetadata, GatewayToken, Platform, Recipient, Registration,
    WebPushSubscription,
};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::interest::InterestName;
use domain::publish::Audience;
use domain::seal::MasterKey;
use domain::user::UserId;
use gateway::Gateways;
use store::Store;
use store::configuration::Configuration as _;
use store::conformance::world::Dice;
use store::devices::{Bound, Changed};
use store::instances::{NewCredential, NewInstance};
use store::memory::MemoryStore;
use store::publishes::NewPublish;
use tokio::time::Instant;

use crate::ledger::{Ledger, Stored};
use crate::plot::Plot;

/// What the gateways say of a device once they say anything final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Healthy,
    Dead,
    Refused,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) nature: Nature,
    interests: BTreeSet<InterestName>,
    user: Option<UserId>,
}

/// Virtual time, as everybody in a run reads it.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).after(self.0.elapsed())
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plot: Plot,
    pub(crate) store: MemoryStore,
    pub(crate) devices: Vec<Device>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger: Ledger,
    numbers: BTreeMap<String, usize>,
    dice: Mutex<Dice>,
    over: AtomicBool,
}

/// What costs much to make, and is the same in all runs.
pub(crate) struct Keys {
    pub(crate) instance: InstanceId,
    pub(crate) vault: Vault,
    pub(crate) gateways: Gateways,
    new_instance: NewInstance,
    credentials: Vec<NewCredential>,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(make_keys())
    })
}

/// The emulators' key files are as good as any; nobody talks to the emulators.
async fn make_keys() -> Keys {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = emulator::Config::local(folder.path().join("emulators"));
    let emulators = emulator::start(config, Arc::clone(&clock)).await.unwrap();
    let value = |name| emulators.env_value(name).unwrap();
    let pem = std::fs::read_to_string(emulators.apns_key_file()).unwrap();
    let apns = ApnsCredential::parse(value("APNS_KEY_ID"), value("APNS_TEAM_ID"), &pem).unwrap();
    let json = std::fs::read_to_string(emulators.service_account_file()).unwrap();
    let fcm = FcmCredential::parse(&json).unwrap();
    let config = gateway::Config {
        extra_ca_pem: Some(std::fs::read(emulators.ca_file()).unwrap()),
        ..gateway::Config::default()
    };
    emulators.stop().await;
    let vault = Vault::new(MasterKey::random());
    let instance = InstanceId::random();
    let name = InstanceName::parse("simulated").unwrap();
    let new_instance = vault
        .new_instance(instance, name, &SecretKey::random(), clock.now())
        .unwrap();
    let credentials = [Credential::Apns(apns), Credential::Fcm(fcm)]
        .iter()
        .map(|credential| {
            vault
                .new_credential(instance, credential, clock.now())
                .unwrap()
        })
        .collect();
    Keys {
        instance,
        vault,
        gateways: Gateways::new(config, clock).unwrap(),
        new_instance,
        credentials,
    }
}

pub(crate) fn interest(number: usize) -> InterestName {
    InterestName::parse(format!("interest-{number}")).unwrap()
}

pub(crate) fn user(number: usize) -> UserId {
    UserId::parse(format!("user-{number}")).unwrap()
}

fn token(platform: Platform, number: usize) -> GatewayToken {
    let (identity, keys) = match platform {
        Platform::Apns => (format!("{number:064x}"), None),
        Platform::Fcm => (format!("fcm:{number}"), None),
        // Several push services.
        Platform::Web => (
            format!("https://push{}.example.com/{number}", number % 4),
            Some([7; WebPushSubscription::KEYS_LENGTH]),
        ),
    };
    GatewayToken::from_parts(platform, &identity, keys.as_ref().map(|keys| &keys[..])).unwrap()
}

impl World {
    /// A world with the plot's devices in it.
    pub(crate) async fn new(plot: Plot, mut dice: Dice) -> Self {
        let mut world = Self {
            store: MemoryStore::default(),
            devices: Vec::new(),
            clock: Arc::new(VirtualClock(Instant::now())),
            ledger: Ledger::new(),
            numbers: BTreeMap::new(),
            dice: Mutex::new(Dice(0)),
            over: AtomicBool::new(false),
            plot,
        };
        let keys = keys();
        let new = keys.new_instance.clone();
        world.store.create_instance(new).await.unwrap();
        for new in &keys.credentials {
            let set = world.store.set_credential(keys.instance, new.clone());
            set.await.unwrap();
        }
        for number in 0..world.plot.devices {
            let device = world.register(number, &mut dice).await;
            world.devices.push(device);
        }
        world.dice = Mutex::new(dice);
        world
    }

    async fn register(&mut self, number: usize, dice: &mut Dice) -> Device {
        let instance = keys().instance;
        let platform = Platform::ALL[dice.roll(3)];
        let token = token(platform, number);
        self.numbers.insert(token.identity().to_owned(), number);
        let registration = Registration {
            instance,
            token,
            bundle_id: (platform == Platform::Apns)
                .then(|| BundleId::parse("com.example.app").unwrap()),
            metadata: DeviceMetadata::default(),
        };
        let id = DeviceId::random(platform);
        let now = self.clock.now();
        let registered = self
            .store
            .register_device(registration, id, None, now)
            .await;
        assert_eq!(registered.unwrap().id, id);
        let interests: BTreeSet<_> = (0..=dice.roll(3))
            .map(|_| interest(dice.roll(self.plot.interests)))
            .collect();
        let set = interests.iter().cloned().collect();
        let set = self.store.set_interests(instance, id, set, now).await;
        assert_eq!(set.unwrap(), Changed::Done);
        let user = (dice.roll(3) > 0).then(|| user(dice.roll(self.plot.users)));
        if let Some(user) = &user {
            let bound = self
                .store
                .bind_user(instance, id, user.clone(), 1000, now)
                .await;
            assert_eq!(bound.unwrap(), Bound::Done);
        }
        let nature = match dice.roll(1000) {
            roll if roll < self.plot.dead => Nature::Dead,
            roll if roll < self.plot.dead + self.plot.refused => Nature::Refused,
            _ => Nature::Healthy,
        };
        Device {
            id,
            nature,
            interests,
            user,
        }
    }

    /// The store has a publish, and its audience is resolved.
    pub(crate) async fn stored(&self, new: &NewPublish) {
        let once = new.once.as_ref();
        self.ledger.stored(Stored {
            id: new.publish.id,
            key: once.map(|once| once.idempotency.key.clone()),
            audience: self.audience(new).await,
        });
    }

    /// The owner of a device deletes it.
    pub(crate) async fn delete(&self, device: usize) {
        let id = self.devices[device].id;
        let deleted = self.store.delete_device(keys().instance, id).await;
        if deleted.unwrap() {
            self.ledger.deleted(device);
        }
    }

    /// The devices that a publish is for now.
    async fn audience(&self, new: &NewPublish) -> BTreeSet<usize> {
        let mut audience = BTreeSet::new();
        for (number, device) in self.devices.iter().enumerate() {
            let payloads = &new.publish.payloads;
            let is_wanted = payloads.platforms().any(|p| p == device.id.platform());
            let is_meant = match &new.audience {
                Audience::Interests(names) => !names.is_disjoint(&device.interests),
                Audience::Users(users) => device.user.as_ref().is_some_and(|u| users.contains(u)),
                // Lists are not part of the simulation.
                Audience::List(_) => false,
            };
            if is_wanted && is_meant && self.is_registered(number).await {
                audience.insert(number);
            }
        }
        audience
    }

    pub(crate) async fn is_registered(&self, device: usize) -> bool {
        let id = self.devices[device].id;
        let found = self.store.device(keys().instance, id).await.unwrap();
        found.is_some()
    }

    pub(crate) fn device_of(&self, recipient: &Recipient) -> usize {
        self.numbers[recipient.token.identity()]
    }

    pub(crate) fn roll(&self, sides: usize) -> usize {
        self.dice.lock().unwrap().roll(sides)
    }

    /// Random in `0.0..1.0`.
    pub(crate) fn jitter(&self) -> f64 {
        f64::from(u32::try_from(self.roll(1 << 20)).unwrap()) / f64::from(1 << 20)
    }

    /// Whether what happens to so many of a thousand happens now.
    pub(crate) fn befalls(&self, of_thousand: usize) -> bool {
        of_thousand > 0 && !self.is_over() && self.roll(1000) < of_thousand
    }

    /// How long a call of the store takes, there and back, in milliseconds.
    pub(crate) fn store_latency(&self) -> (usize, usize) {
        let most = if self.is_over() {
            2
        } else {
            self.plot.store.latency_ms
        };
        (self.roll(most + 1), self.roll(most + 1))
    }

    /// How long a request to a gateway takes, there and back, in milliseconds.
    pub(crate) fn gateway_latency(&self) -> (usize, usize) {
        let most = if self.is_over() {
            5
        } else {
            self.plot.gateway.latency_ms
        };
        (self.roll(most + 1), self.roll(most + 1))
    }

    /// Whether all trouble has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn end_trouble(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.ledger.note("all trouble ends");
    }
}
