//! Files, restarts, and the command's loop.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use domain::clock::SystemClock;
use emulator::{Config, Error, Gateway, Notification, run_until, start};
use serde_json::Value;

use crate::support::{World, client, device_token, send};

#[tokio::test]
async fn the_files_are_there_and_the_private_ones_private() {
    let world = World::new().await;
    for (name, mode) in [
        ("ca.pem", 0o644),
        ("ca-key.pem", 0o600),
        ("AuthKey.p8", 0o600),
        ("service-account.json", 0o600),
        ("env.sh", 0o644),
    ] {
        let meta = std::fs::metadata(world.out.path().join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(
        std::fs::read_dir(world.out.path()).unwrap().count(),
        5,
        "nothing else"
    );
    let account = world.account();
    assert_eq!(account["type"], "service_account");
    assert_eq!(
        account["token_uri"],
        format!("{}/token", world.emulators.url(Gateway::Fcm))
    );
    assert!(
        account["private_key"]
            .as_str()
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    let key = std::fs::read_to_string(world.emulators.apns_key_file()).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(
        (
            world.env("APNS_KEY_ID").len(),
            world.env("APNS_TEAM_ID").len()
        ),
        (10, 10)
    );
}

#[tokio::test]
async fn env_sh_can_be_sourced() {
    let world = World::new().await;
    for (name, value) in world.emulators.env() {
        let script = format!(
            ". '{}/env.sh' && printf %s \"${name}\"",
            world.out.path().display()
        );
        let output = tokio::process::Command::new("sh")
            .arg("-ec")
            .arg(script)
            .output()
            .await
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), *value);
    }
    for name in [
        "HELIOSTAT_APNS_URL",
        "HELIOSTAT_APNS_SANDBOX_URL",
        "HELIOSTAT_FCM_URL",
        "HELIOSTAT_OUTBOUND_CA_FILE",
        "HELIOSTAT_OUTBOUND_ALLOW",
        "HELIOSTAT_WEB_PUSH_CONTACT",
        "APNS_KEY_ID",
        "APNS_TEAM_ID",
        "EMULATOR_BROWSER_URL",
        "EMULATOR_CONTROL_URL",
    ] {
        assert!(world.emulators.env_value(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_restart_keeps_trust_and_keys() {
    let world = World::new().await;
    let (key_id, account) = (world.env("APNS_KEY_ID").to_owned(), world.account());
    world.emulators.stop().await;
    let again = start(Config::local(world.out.path()), Arc::new(SystemClock))
        .await
        .unwrap();
    assert_eq!(again.env_value("APNS_KEY_ID"), Some(key_id.as_str()));
    let text = std::fs::read_to_string(again.service_account_file()).unwrap();
    let account_again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(account_again["private_key"], account["private_key"]);
    assert_ne!(
        account_again["token_uri"], account["token_uri"],
        "the port is another"
    );
    // The client knows only the CA of the first run; it is asked for by name and by address.
    for host in ["localhost", "127.0.0.1"] {
        let url = format!(
            "https://{host}:{}/",
            again.address(Gateway::ApnsSandbox).port()
        );
        assert_eq!(send(world.http.get(url)).await.status, 404);
    }
    again.stop().await;
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_refused_and_left_alone() {
    for (name, text) in [
        ("AuthKey.p8", "nonsense"),
        ("ca-key.pem", "nonsense"),
        ("ca.pem", "nonsense"),
        ("service-account.json", "{}"),
    ] {
        let world = World::new().await;
        world.emulators.stop().await;
        let path = world.out.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = start(Config::local(world.out.path()), Arc::new(SystemClock))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Key { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "{name} is not overwritten"
        );
    }
    let world = World::new().await;
    std::fs::remove_file(world.out.path().join("ca-key.pem")).unwrap();
    let error = start(Config::local(world.out.path()), Arc::new(SystemClock))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("ca-key.pem is not"), "{error}");
}

#[tokio::test]
async fn an_address_in_use_is_said_clearly() {
    let world = World::new().await;
    let other = tempfile::tempdir().unwrap();
    let taken = Config {
        fcm: world.emulators.address(Gateway::Fcm),
        ..Config::local(other.path())
    };
    let error = start(taken, Arc::new(SystemClock)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("FCM cannot listen on 127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn two_emulators_do_not_trust_each_other() {
    let (one, two) = (World::new().await, World::new().await);
    let stranger = client(&one.emulators).build().unwrap();
    assert!(
        stranger
            .get(two.emulators.url(Gateway::Fcm))
            .send()
            .await
            .is_err()
    );
}

/// A writer that several hold.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_command_prints_one_line_per_notification() {
    crate::support::install_provider();
    let out = tempfile::tempdir().unwrap();
    let lines = Shared::default();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = run_until(
        Config::local(out.path()),
        Arc::new(SystemClock),
        move |emulators| {
            let client = client(emulators).build().unwrap();
            let _ = ready.send((client, emulators.url(Gateway::Apns)));
        },
        async move { drop(stopped.await) },
        lines.clone(),
    );
    let drive = async {
        let (client, url) = is_ready.await.unwrap();
        for n in 0..3 {
            let answer = send(
                client
                    .post(format!("{url}/3/device/{}", device_token(n)))
                    .body("{}"),
            )
            .await;
            assert_eq!(answer.reason(), "MissingProviderToken");
        }
        stop.send(()).unwrap();
    };
    let (ran, ()) = tokio::join!(run, drive);
    ran.unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Notification> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2].token, device_token(2));
}

/// A reader that has gone.
struct Broken;

impl std::io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_command_ends_when_nobody_reads() {
    crate::support::install_provider();
    let out = tempfile::tempdir().unwrap();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let run = run_until(
        Config::local(out.path()),
        Arc::new(SystemClock),
        move |emulators| {
            let _ = ready.send((
                client(emulators).build().unwrap(),
                emulators.url(Gateway::Apns),
            ));
        },
        std::future::pending(),
        Broken,
    );
    let drive = async {
        let (client, url) = is_ready.await.unwrap();
        send(client.get(url)).await;
    };
    let (ran, ()) = tokio::join!(run, drive);
    assert!(matches!(ran, Err(Error::Output(_))));
}
