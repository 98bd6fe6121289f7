//! What would make a mobile SDK repeat itself for ever, or loop, is never answered to what an SDK can send.
//!
//! The rules of when an SDK stops are in [`crate::support`], taken from the SDKs' sources. Each test goes through the
//! states that a server can be in behind an app's back: the device is gone, the user is full, the token is over, the
//! instance is gone.

use http::Method;
use serde_json::json;

use crate::support::{
    Instance, JSON, Reply, Server, android, beams_token, beams_token_of, device_path, devices,
    swift,
};

const SWIFT: (&str, &str) = ("X-Pusher-Library", "push-notifications-swift 4.0.0");
const ANDROID: (&str, &str) = ("x-pusher-library", "push-notifications-android 1.9.2");

/// Every answer to a PUT of a user that a token can lead to.
async fn user_answers(
    server: &Server,
    instance: &Instance,
    device: &str,
    sdk: (&str, &str),
) -> Vec<Reply> {
    let path = format!("{}/user", device_path(instance, device));
    let claims = |name: &str, value: serde_json::Value| {
        let iss = format!("https://{}.pushnotifications.pusher.com", instance.id);
        let mut claims = json!({"sub": "bob", "exp": 1_800_000_000, "iss": iss});
        claims[name] = value;
        claims
    };
    let key = instance.key.reveal();
    let tokens = [
        beams_token(instance, "full"),
        beams_token(instance, "another"),
        beams_token_of(key, &claims("exp", json!(1))),
        beams_token_of(key, &claims("exp", json!(null))),
        beams_token_of(key, &claims("iss", json!("x"))),
        beams_token_of(key, &claims("sub", json!(""))),
        beams_token_of("WRONG", &claims("sub", json!("bob"))),
        "garbage".to_owned(),
        String::new(),
    ];
    let mut answers = Vec::new();
    for token in tokens {
        let authorization = format!("Bearer {token}");
        let headers = [sdk, ("Authorization", authorization.as_str())];
        answers.push(server.send(Method::PUT, &path, &headers, "").await);
    }
    answers
}

async fn fill(server: &Server, instance: &Instance, platform: &str) {
    for n in 0..100 {
        let body = format!(r#"{{"token":"f{n:03}","bundleIdentifier":"x"}}"#);
        let reply = server
            .post(&format!("{}/{platform}", devices(instance)), &body)
            .await
            .ok()
            .json();
        server
            .bind(instance, reply["id"].as_str().unwrap(), "full")
            .await
            .ok();
    }
}

#[tokio::test]
async fn swift_always_gets_to_the_end_of_its_queue() {
    let server = Server::start().await;
    let instance = server.instance().await;
    fill(&server, &instance, "apns").await;
    let body = r#"{"token":"abcd","bundleIdentifier":"x"}"#;
    let known = server
        .post(&format!("{}/apns", devices(&instance)), body)
        .await
        .ok()
        .json();
    let gone = "apns-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    let mut answers = Vec::new();
    for device in [known["id"].as_str().unwrap(), gone] {
        answers.extend(user_answers(&server, &instance, device, SWIFT).await);
        let base = device_path(&instance, device);
        for (method, rest, body) in [
            (Method::POST, "/interests/panda", ""),
            (Method::POST, "/interests/a%20b", ""),
            (Method::POST, "/interests/", ""),
            (Method::POST, "/interests/a/b", ""),
            (Method::DELETE, "/interests/panda", ""),
            (Method::PUT, "/interests", r#"{"interests":["a b"]}"#),
            (Method::PUT, "/interests", r#"{"interests":["a"]}"#),
            (Method::PUT, "/metadata", "{}"),
            (Method::DELETE, "", ""),
        ] {
            answers.push(
                server
                    .send(method, &format!("{base}{rest}"), &[SWIFT, JSON], body)
                    .await,
            );
        }
    }
    let nowhere = "/device_api/v1/instances/9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac/devices/apns";
    for (path, body) in [
        (
            format!("{}/apns", devices(&instance)),
            r#"{"token":"zz","bundleIdentifier":"x"}"#,
        ),
        (
            format!("{}/apns", devices(&instance)),
            r#"{"token":"ab","bundleIdentifier":"ü"}"#,
        ),
        (
            nowhere.to_owned(),
            r#"{"token":"ab","bundleIdentifier":"x"}"#,
        ),
    ] {
        answers.push(server.send(Method::POST, &path, &[SWIFT, JSON], body).await);
    }
    for reply in answers {
        let description = if reply.status == 200 {
            String::new()
        } else {
            reply.refused(reply.status.as_u16()).1
        };
        assert!(
            swift::ends(reply.status.as_u16(), &description),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn a_report_never_makes_swift_register_again_or_wait() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for id in [
        instance.id.to_string(),
        "9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac".into(),
        "x".into(),
    ] {
        for body in [
            r#"{"event":"Open","publishId":"pubid-x","deviceId":"apns-x","timestampSecs":1}"#,
            r#"{"event":"Open"}"#,
            "",
        ] {
            let path = format!("/reporting_api/v2/instances/{id}/events");
            let reply = server.send(Method::POST, &path, &[SWIFT, JSON], body).await;
            assert!(matches!(reply.status.as_u16(), 200 | 400), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn android_always_gets_to_the_end_of_its_queue() {
    let server = Server::start().await;
    let instance = server.instance().await;
    fill(&server, &instance, "fcm").await;
    let known = server.fcm_device(&instance, "known").await;
    let gone = "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    for device in [known.as_str(), gone] {
        for reply in user_answers(&server, &instance, device, ANDROID).await {
            assert!(android::ends_user(reply.status.as_u16()), "{reply:?}");
        }
        let base = device_path(&instance, device);
        for (method, rest, body) in [
            (Method::POST, "/interests/panda", ""),
            (Method::POST, "/interests/a%20b", ""),
            (Method::DELETE, "/interests/panda", ""),
            (Method::PUT, "/interests", r#"{"interests":["a b"]}"#),
            (Method::PUT, "/token", r#"{"token":""}"#),
            (Method::PUT, "/token", r#"{"token":"new"}"#),
            (Method::PUT, "/metadata", "{}"),
        ] {
            let reply = server
                .send(method, &format!("{base}{rest}"), &[ANDROID, JSON], body)
                .await;
            assert!(android::ends_change(reply.status.as_u16()), "{reply:?}");
        }
        for _ in 0..2 {
            let reply = server.send(Method::DELETE, &base, &[ANDROID], "").await;
            assert!(
                android::ends_register_or_delete(reply.status.as_u16()),
                "{reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn android_can_stop_after_its_instance_was_deleted() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "token").await;
    assert!(
        server
            .app
            .store()
            .delete_instance(instance.id)
            .await
            .unwrap()
    );
    let reply = server
        .send(
            Method::DELETE,
            &device_path(&instance, &device),
            &[ANDROID],
            "",
        )
        .await;
    assert!(
        android::ends_register_or_delete(reply.status.as_u16()),
        "{reply:?}"
    );
}

#[tokio::test]
async fn android_is_never_told_the_word_that_makes_it_register_without_a_pause() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for body in [
        r#"{"token":""}"#,
        r#"{"token":"a b"}"#,
        "{}",
        "",
        r#"{"token":"a","metadata":7}"#,
    ] {
        let reply = server
            .send(
                Method::POST,
                &format!("{}/fcm", devices(&instance)),
                &[ANDROID, JSON],
                body,
            )
            .await;
        assert_ne!(reply.refused(400).0, "InvalidToken");
    }
}
