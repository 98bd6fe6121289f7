//! A whole Heliostat but for its HTTP server, in one process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use delivery::instances::Instances;
use delivery::runner::{Runner, Settings, Taken};
use delivery::vault::Vault;
use domain::backoff::Backoff;
use domain::clock::{Clock, SystemClock};
use domain::credential::{ApnsCredential, Credential, FcmCredential};
use domain::device::{BundleId, DeviceId, DeviceMetadata, GatewayToken, Platform, Registration};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::interest::InterestName;
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use domain::seal::MasterKey;
use domain::user::UserId;
use emulator::{Emulators, Gateway};
use gateway::Gateways;
use serde_json::{Value, json};
use store::Store;
use store::devices::{Bound, Changed};
use store::lookup::PublishReport;
use store::sqlite::{SqliteSettings, SqliteStore};

/// How long a test waits for something that must happen. Far more than it takes; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) emulators: Emulators,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) instance: InstanceId,
    pub(crate) clock: Arc<dyn Clock>,
    gateways: Gateways,
    vault: Vault,
    folder: tempfile::TempDir,
}

/// Settings under which retries come soon.
pub(crate) fn settings() -> Settings {
    Settings {
        page_length: 100,
        poll: Duration::from_millis(50),
        backoff: Backoff {
            first: Duration::from_millis(20),
            longest: Duration::from_secs(5),
        },
        ..Settings::default()
    }
}

impl World {
    /// Emulators, a store, and an instance with credentials for all gateways.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with other settings for what goes out.
    pub(crate) async fn with(adjust: impl FnOnce(&mut gateway::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("emulators");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let emulators = emulator::start(emulator::Config::local(&out), Arc::clone(&clock))
            .await
            .unwrap();
        let store = open_store(&folder.path().join("heliostat.db")).await;
        let mut config = gateway::Config {
            apns_url: emulators.url(Gateway::Apns),
            apns_sandbox_url: emulators.url(Gateway::ApnsSandbox),
            fcm_url: emulators.url(Gateway::Fcm),
            extra_ca_pem: Some(std::fs::read(emulators.ca_file()).unwrap()),
            outbound_allow: vec!["127.0.0.0/8".parse().unwrap()],
            vapid_contact: "mailto:ops@example.com".into(),
            request_timeout: Duration::from_secs(2),
            ..gateway::Config::default()
        };
        adjust(&mut config);
        let gateways = Gateways::new(config, Arc::clone(&clock)).unwrap();
        let vault = Vault::new(MasterKey::random());
        let instance = InstanceId::random();
        let name = InstanceName::parse("test").unwrap();
        let new = vault
            .new_instance(instance, name, &SecretKey::random(), clock.now())
            .unwrap();
        store.create_instance(new).await.unwrap();
        let world = Self {
            emulators,
            store,
            instance,
            clock,
            gateways,
            vault,
            folder,
        };
        world.set_credentials().await;
        world
    }

    /// Sets the credentials that the emulators take.
    pub(crate) async fn set_credentials(&self) {
        let value = |name| self.emulators.env_value(name).unwrap();
        let pem = std::fs::read_to_string(self.emulators.apns_key_file()).unwrap();
        let apns =
            ApnsCredential::parse(value("APNS_KEY_ID"), value("APNS_TEAM_ID"), &pem).unwrap();
        let json = std::fs::read_to_string(self.emulators.service_account_file()).unwrap();
        let fcm = FcmCredential::parse(&json).unwrap();
        for credential in [Credential::Apns(apns), Credential::Fcm(fcm)] {
            let new = self
                .vault
                .new_credential(self.instance, &credential, self.clock.now())
                .unwrap();
            self.store.set_credential(self.instance, new).await.unwrap();
        }
    }

    /// A node that delivers.
    pub(crate) fn start(&self, settings: Settings) -> Node {
        let instances = Instances::new(
            Arc::clone(&self.store),
            self.vault.clone(),
            self.gateways.clone(),
            Arc::clone(&self.clock),
        );
        let runner = Runner::start(
            settings,
            Arc::clone(&self.store),
            Arc::clone(&instances),
            Arc::clone(&self.clock),
        );
        Node {
            runner,
            instances,
            instance: self.instance,
        }
    }

    /// Opens the same database once more, as a second process would.
    pub(crate) async fn second_store(&self) -> Arc<dyn Store> {
        open_store(&self.folder.path().join("heliostat.db")).await
    }

    /// Registers a device; `name` becomes its gateway token.
    pub(crate) async fn register(&self, platform: Platform, name: &str) -> DeviceId {
        let token = match platform {
            Platform::Apns => GatewayToken::parse(platform, &apns_token(name)),
            Platform::Fcm => GatewayToken::parse(platform, name),
            Platform::Web => GatewayToken::parse(platform, name),
        };
        let registration = Registration {
            instance: self.instance,
            token: token.unwrap(),
            bundle_id: (platform == Platform::Apns)
                .then(|| BundleId::parse("com.example.app").unwrap()),
            metadata: DeviceMetadata::default(),
        };
        let fresh = DeviceId::random(platform);
        self.store
            .register_device(registration, fresh, None, self.clock.now())
            .await
            .unwrap()
            .id
    }

    /// Registers `count` devices, subscribed to `interest`. Their names are `<interest>-<number>`.
    pub(crate) async fn subscribers(
        &self,
        platform: Platform,
        interest: &str,
        count: usize,
    ) -> Vec<String> {
        let names: Vec<_> = (0..count)
            .map(|number| format!("{interest}-{number}"))
            .collect();
        for name in &names {
            let id = self.register(platform, name).await;
            self.subscribe(id, interest).await;
        }
        names
    }

    pub(crate) async fn subscribe(&self, device: DeviceId, interest: &str) {
        let interest = InterestName::parse(interest).unwrap();
        let changed = self
            .store
            .add_interest(self.instance, device, interest, 5000, self.clock.now())
            .await
            .unwrap();
        assert_eq!(changed, Changed::Done);
    }

    pub(crate) async fn bind(&self, device: DeviceId, user: &str) {
        let user = UserId::parse(user).unwrap();
        let bound = self
            .store
            .bind_user(self.instance, device, user, 100, self.clock.now())
            .await
            .unwrap();
        assert_eq!(bound, Bound::Done);
    }

    /// What is known of a publish once all its work is done.
    pub(crate) async fn finished(&self, publish: PublishId) -> PublishReport {
        wait_for("a publish to finish", async || {
            let report = self
                .store
                .publish_report(self.instance, publish)
                .await
                .unwrap()
                .unwrap();
            report.finished_at.is_some().then_some(report)
        })
        .await
    }

    /// How often a device got something that the gateway accepted.
    pub(crate) fn accepted(&self, gateway: Gateway, name: &str) -> u32 {
        match gateway {
            Gateway::Apns | Gateway::ApnsSandbox => {
                self.emulators.accepted_for(gateway, &apns_token(name))
            }
            _ => self.emulators.accepted_for(gateway, name),
        }
    }
}

async fn open_store(path: &Path) -> Arc<dyn Store> {
    Arc::new(
        SqliteStore::open(path, SqliteSettings::default())
            .await
            .unwrap(),
    )
}

/// An APNs token made of a readable name, as long as Apple's.
pub(crate) fn apns_token(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0>64}")
}

/// Asks again until there is an answer.
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| {
            assert!(what.is_empty(), "waited in vain for {what}");
            unreachable!()
        })
}

pub(crate) struct Node {
    pub(crate) runner: Runner,
    pub(crate) instances: Arc<Instances>,
    instance: InstanceId,
}

impl Node {
    pub(crate) async fn publish(
        &self,
        kind: AudienceKind,
        audience: &[&str],
        payloads: Value,
    ) -> PublishId {
        let mut body = payloads;
        body[kind.as_str()] = json!(audience);
        let request = PublishRequest::parse(kind, body.to_string().as_bytes()).unwrap();
        self.take(request).await
    }

    pub(crate) async fn take(&self, request: PublishRequest) -> PublishId {
        let instance = self.instances.get(self.instance).await.unwrap().unwrap();
        match self.runner.publish(&instance, request, None).await.unwrap() {
            Taken::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stop(&self) {
        self.runner.stop(PATIENCE).await;
    }
}

/// How many deliveries of a publish had this end.
pub(crate) fn count(report: &PublishReport, outcome: domain::outcome::OutcomeKind) -> u64 {
    report
        .tallies
        .iter()
        .filter(|tally| tally.outcome == outcome)
        .map(|tally| tally.count)
        .sum()
}
