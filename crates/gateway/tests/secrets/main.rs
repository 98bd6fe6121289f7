//! What is in no log and in no `Debug`. A program of its own, since which events are logged is settled once per process.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

#[path = "../emulated/fixture.rs"]
mod fixture;

use std::io::Write;
use std::sync::{Arc, Mutex};

use domain::device::Platform;
use emulator::{Behaviour, Gateway};
use tracing_subscriber::fmt::MakeWriter;

use fixture::{FCM_TOKEN, Fixture, TOKEN, android, browser, iphone};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn tokens_keys_and_payloads_are_not_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_env_filter("gateway=trace,h2=debug,rustls=debug,hyper=debug")
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fixture = Fixture::new().await;
    let subscription = fixture.emulators.create_subscription(None).unwrap();
    let channels = [fixture.apns(), fixture.fcm(), fixture.web()];
    let devices = [iphone(TOKEN), android(FCM_TOKEN), browser(&subscription)];
    for round in 0..2 {
        for (channel, device) in channels.iter().zip(&devices) {
            fixture.send(channel, device).await;
        }
        if round == 0 {
            for gateway in Gateway::ALL {
                fixture
                    .emulators
                    .set_behaviour(gateway, None, Behaviour::Cut)
                    .unwrap();
            }
            fixture.emulators.revoke_access_tokens();
        }
    }
    let shown = format!(
        "{:?} {channels:?} {devices:?} {:?}",
        fixture.gateways,
        fixture.gateways.guard()
    );
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("gateway"), "there is a log at all");
    let key_file = std::fs::read_to_string(fixture.emulators.apns_key_file()).unwrap();
    let key_line = key_file.lines().nth(1).unwrap();
    let account = std::fs::read_to_string(fixture.emulators.service_account_file()).unwrap();
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    let rsa_line = account["private_key"]
        .as_str()
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    let path = subscription.endpoint.rsplit('/').next().unwrap();
    assert!(matches!(
        fixture.payload(Platform::Apns),
        domain::payload::Rendered::Apns(_)
    ));
    for secret in [
        TOKEN,
        "APA91b",
        path,
        &subscription.keys.auth,
        &subscription.keys.p256dh,
        key_line,
        &rsa_line,
        "eyJ",
        "hello",
    ] {
        assert!(
            !logged.contains(secret),
            "{secret} is in the log:\n{logged}"
        );
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}
