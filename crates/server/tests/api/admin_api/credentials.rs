//! `…/credentials`, checked against the emulators.

use std::sync::Arc;

use domain::clock::ManualClock;
use emulator::Emulators;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{call, full, read};
use crate::support::{NOW, Server};

/// A server whose gateways are emulators.
pub(super) async fn with_emulators() -> (Server, Emulators, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = emulator::Config::local(folder.path());
    let emulators = emulator::start(config, Arc::new(ManualClock::new(NOW)))
        .await
        .unwrap();
    let env = std::fs::read_to_string(folder.path().join("env.sh")).unwrap();
    let of = |name: &str| {
        let line = env.lines().find(|line| line.contains(&format!("{name}=")));
        let value = line.unwrap().split_once('=').unwrap().1;
        value.trim_matches(['\'', '"']).to_owned()
    };
    let (apns, sandbox) = (of("HELIOSTAT_APNS_URL"), of("HELIOSTAT_APNS_SANDBOX_URL"));
    let (fcm, ca) = (of("HELIOSTAT_FCM_URL"), of("HELIOSTAT_OUTBOUND_CA_FILE"));
    let allow = of("HELIOSTAT_OUTBOUND_ALLOW");
    let server = Server::start_with(&[
        ("apns.url", &apns),
        ("apns.sandbox_url", &sandbox),
        ("fcm.url", &fcm),
        ("outbound.ca_file", &ca),
        ("outbound.allow", &allow),
    ])
    .await;
    (server, emulators, folder)
}

/// The bodies that set both credentials of the emulators.
pub(super) fn bodies(folder: &TempDir) -> (Value, Value) {
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let env = text("env.sh");
    let of = |name: &str| {
        let line = env.lines().find(|line| line.contains(&format!("{name}=")));
        let value = line.unwrap().split_once('=').unwrap().1;
        value.trim_matches(['\'', '"']).to_owned()
    };
    let apns = json!({
        "key": text("AuthKey.p8"), "keyId": of("APNS_KEY_ID"), "teamId": of("APNS_TEAM_ID"),
    });
    let account: Value = serde_json::from_str(&text("service-account.json")).unwrap();
    (apns, json!({"serviceAccount": account}))
}

#[tokio::test]
async fn credentials_are_set_checked_and_shown_without_secrets() {
    let (server, emulators, folder) = with_emulators().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let at = format!("/instances/{}/credentials", instance.id);
    let (apns, fcm) = bodies(&folder);
    for (platform, body) in [("apns", &apns), ("fcm", &fcm)] {
        let check = format!("{at}/{platform}/check");
        call(&server, &root, Method::POST, &check, &json!({}))
            .await
            .refused(404);
        let path = format!("{at}/{platform}");
        let set = call(&server, &root, Method::PUT, &path, body)
            .await
            .ok()
            .json();
        assert_eq!(set["platform"], platform);
    }
    let listed = read(&server, &root, &at).await.ok();
    let secret = apns["key"].as_str().unwrap().lines().nth(1).unwrap();
    assert!(!listed.body.contains(secret));
    let listed = listed.json();
    let listed = listed["credentials"].as_array().unwrap().clone();
    let states: Vec<_> = listed
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ok", "ok"]);
    for platform in ["apns", "fcm"] {
        let path = format!("{at}/{platform}/check");
        let checked = eventually_checked(&server, &root, &path).await;
        assert_eq!(
            checked,
            json!({"platform": platform, "verdict": "taken", "reason": null})
        );
    }
    emulators.stop().await;
}

/// Once the server has seen that there is a credential, within the half second that an instance is cached for.
async fn eventually_checked(server: &Server, root: &str, path: &str) -> Value {
    loop {
        let reply = call(server, root, Method::POST, path, &json!({})).await;
        if reply.status != 404 {
            return reply.ok().json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_refused_credential_is_told() {
    let (server, emulators, folder) = with_emulators().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let at = format!("/instances/{}/credentials", instance.id);
    let (mut apns, _) = bodies(&folder);
    apns["keyId"] = "AAAAAAAAAA".into();
    call(&server, &root, Method::PUT, &format!("{at}/apns"), &apns)
        .await
        .ok();
    let checked = eventually_checked(&server, &root, &format!("{at}/apns/check")).await;
    assert_eq!(checked["verdict"], "refused", "{checked}");
    let listed = read(&server, &root, &at).await.ok().json();
    assert_eq!(listed["credentials"][0]["state"], "broken");
    emulators.stop().await;
    // Nobody is there to be asked any more.
    let body = json!({"serviceAccount": {"type": "service_account"}});
    let path = format!("{at}/fcm");
    call(&server, &root, Method::PUT, &path, &body)
        .await
        .refused(400);
}

#[tokio::test]
async fn a_gateway_that_cannot_be_asked_says_nothing_of_a_credential() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let folder = tempfile::tempdir().unwrap();
    let config = emulator::Config::local(folder.path());
    let emulators = emulator::start(config, Arc::new(ManualClock::new(NOW)))
        .await
        .unwrap();
    let (apns, _) = bodies(&folder);
    emulators.stop().await;
    let at = format!("/instances/{}/credentials", instance.id);
    call(&server, &root, Method::PUT, &format!("{at}/apns"), &apns)
        .await
        .ok();
    let checked = eventually_checked(&server, &root, &format!("{at}/apns/check")).await;
    assert_eq!(checked["verdict"], "unknown", "{checked}");
    call(
        &server,
        &root,
        Method::POST,
        &format!("{at}/web/check"),
        &json!({}),
    )
    .await
    .refused(404);
    call(
        &server,
        &root,
        Method::POST,
        &format!("{at}/wns/check"),
        &json!({}),
    )
    .await
    .refused(404);
}

#[tokio::test]
async fn what_is_no_credential_is_told_and_not_echoed() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    let at = format!("/instances/{}/credentials", instance.id);
    for (platform, body, field) in [
        ("apns", json!({}), "key"),
        ("apns", json!({"key": "very secret"}), "keyId"),
        (
            "apns",
            json!({"key": "very secret", "keyId": "A", "teamId": "B"}),
            "key",
        ),
        ("fcm", json!({}), "serviceAccount"),
        ("fcm", json!({"serviceAccount": 7}), "serviceAccount"),
        (
            "fcm",
            json!({"serviceAccount": "very secret"}),
            "serviceAccount",
        ),
        (
            "fcm",
            json!({"serviceAccount": {"private_key": "very secret"}}),
            "serviceAccount",
        ),
    ] {
        let path = format!("{at}/{platform}");
        let (_, why) = call(&server, &root, Method::PUT, &path, &body)
            .await
            .refused(400);
        assert!(why.contains(&format!("`{field}`")), "{body}: {why}");
        assert!(!why.contains("very secret"), "{why}");
    }
    let listed = read(&server, &root, &at).await.ok().json();
    assert_eq!(listed["credentials"], json!([]));
}
