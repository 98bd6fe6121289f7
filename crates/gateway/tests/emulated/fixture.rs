//! Emulators, gateways that lead to them, and deliveries.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, SystemClock, Timestamp};
use domain::credential::{ApnsCredential, FcmCredential};
use domain::device::{
    ApnsEnvironment, BundleId, DeviceOrdinal, GatewayToken, Platform, Recipient,
    WebPushSubscription,
};
use domain::instance::InstanceId;
use domain::jws::Es256Key;
use domain::payload::{Origin, Payloads, Rendered};
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use emulator::{Emulators, Gateway, PushSubscription};
use gateway::{Attempt, Channel, Config, Delivery, Gateways};

pub(crate) const TOKEN: &str = "00aa11bb22cc33dd44ee55ff66aa77bb88cc99dd00ee11ff22aa33bb44cc55dd";
pub(crate) const FCM_TOKEN: &str = "fcm-token:APA91b\"quoted\\";

pub(crate) struct Fixture {
    pub(crate) emulators: Emulators,
    pub(crate) gateways: Gateways,
    pub(crate) publish: PublishId,
    payloads: Payloads,
    _out: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Arc::new(SystemClock), |_| {}).await
    }

    pub(crate) async fn with(clock: Arc<dyn Clock>, adjust: impl FnOnce(&mut Config)) -> Self {
        let out = tempfile::tempdir().unwrap();
        let emulators = emulator::start(emulator::Config::local(out.path()), Arc::new(SystemClock))
            .await
            .unwrap();
        let mut config = Config {
            apns_url: emulators.url(Gateway::Apns),
            apns_sandbox_url: emulators.url(Gateway::ApnsSandbox),
            fcm_url: emulators.url(Gateway::Fcm),
            extra_ca_pem: Some(std::fs::read(emulators.ca_file()).unwrap()),
            outbound_allow: vec!["127.0.0.0/8".parse().unwrap()],
            vapid_contact: "mailto:ops@heliostat.example.com".into(),
            // Far longer than anything here takes; a test that waits for a timeout sets a short one.
            request_timeout: Duration::from_secs(60),
            ..Config::default()
        };
        adjust(&mut config);
        let gateways = Gateways::new(config, clock).unwrap();
        let body = br#"{"interests":["a"],
            "apns":{"aps":{"alert":"hello"},"collapse_id":"c","priority":10},
            "fcm":{"notification":{"title":"hello"}},
            "web":{"notification":{"title":"hello"},"topic":"news","urgency":"high","time_to_live":60}}"#;
        let payloads = PublishRequest::parse(AudienceKind::Interests, body)
            .unwrap()
            .payloads;
        Self {
            emulators,
            gateways,
            publish: PublishId::random(),
            payloads,
            _out: out,
        }
    }

    pub(crate) fn apns_credential(&self) -> Arc<ApnsCredential> {
        let env = |name| self.emulators.env_value(name).unwrap();
        let pem = std::fs::read_to_string(self.emulators.apns_key_file()).unwrap();
        Arc::new(ApnsCredential::parse(env("APNS_KEY_ID"), env("APNS_TEAM_ID"), &pem).unwrap())
    }

    pub(crate) fn apns(&self) -> Channel {
        self.gateways.apns(self.apns_credential())
    }

    pub(crate) fn fcm_credential(&self) -> Arc<FcmCredential> {
        let json = std::fs::read_to_string(self.emulators.service_account_file()).unwrap();
        Arc::new(FcmCredential::parse(&json).unwrap())
    }

    pub(crate) fn fcm(&self) -> Channel {
        self.gateways.fcm(self.fcm_credential())
    }

    pub(crate) fn web(&self) -> Channel {
        self.gateways
            .web_push(Arc::new(Es256Key::generate().unwrap()))
    }

    pub(crate) fn payload(&self, platform: Platform) -> Rendered {
        let now = SystemClock.now();
        let origin = Origin {
            instance: InstanceId::random(),
            publish: self.publish,
            send_at: now,
            expires_at: None,
            now,
        };
        self.payloads.render(platform, &origin).unwrap()
    }

    pub(crate) async fn send(&self, channel: &Channel, recipient: &Recipient) -> Attempt {
        let payload = self.payload(recipient.token.platform());
        channel
            .send(&Delivery {
                publish: self.publish,
                recipient,
                payload: &payload,
            })
            .await
    }
}

pub(crate) fn recipient(token: GatewayToken) -> Recipient {
    Recipient {
        device: DeviceOrdinal(7),
        token,
        bundle_id: Some(BundleId::parse("com.example.app").unwrap()),
        environment: ApnsEnvironment::Production,
        registered_at: Timestamp::from_secs(0),
        user: None,
    }
}

pub(crate) fn iphone(token: &str) -> Recipient {
    recipient(GatewayToken::parse(Platform::Apns, token).unwrap())
}

pub(crate) fn android(token: &str) -> Recipient {
    recipient(GatewayToken::parse(Platform::Fcm, token).unwrap())
}

pub(crate) fn browser(subscription: &PushSubscription) -> Recipient {
    let json = serde_json::to_vec(subscription).unwrap();
    recipient(GatewayToken::Web(Box::new(
        WebPushSubscription::from_json(&json).unwrap(),
    )))
}
