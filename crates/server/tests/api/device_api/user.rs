//! `…/devices/{platform}/{device}/user`

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Instance, NOW, Reply, Server, beams_token, beams_token_of, device_path};

async fn put(server: &Server, path: &str, authorization: &str) -> Reply {
    server
        .send(Method::PUT, path, &[("Authorization", authorization)], "")
        .await
}

async fn server_with_device() -> (Server, Instance, String) {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let device = device_path(&instance, &id);
    (server, instance, device)
}

fn claims(instance: &Instance) -> Value {
    json!({
        "sub": "alice",
        "exp": NOW.as_secs() + 3600,
        "iss": format!("https://{}.pushnotifications.pusher.com", instance.id),
    })
}

#[tokio::test]
async fn no_token_no_user() {
    let (server, instance, device) = server_with_device().await;
    let path = format!("{device}/user");
    assert_eq!(
        server
            .send(Method::PUT, &path, &[], "")
            .await
            .refused(401)
            .0,
        "Unauthorized"
    );
    let token = beams_token(&instance, "alice");
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        &token,
        &format!("Basic {token}"),
        "Bearer x.y.z",
        "Bearer a b",
    ] {
        put(&server, &path, bad).await.refused(401);
    }
    assert_eq!(server.get(&device).await.ok().json()["userId"], "");
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused_by_its_fault() {
    let (server, instance, device) = server_with_device().await;
    let path = format!("{device}/user");
    let good = claims(&instance);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let other = server.instance().await;
    let over = NOW.before(Duration::from_secs(120)).as_secs();
    for (status, claims) in [
        (400, without("sub")),
        (400, without("exp")),
        (400, without("iss")),
        (400, with("sub", json!(7))),
        (400, with("exp", json!("tomorrow"))),
        (400, with("iss", json!(["x"]))),
        (400, with("sub", json!(""))),
        (400, with("sub", json!("u".repeat(165)))),
        (401, with("exp", json!(over))),
        (403, with("iss", json!("https://example.com"))),
        (
            403,
            with(
                "iss",
                json!(format!("https://{}.pushnotifications.pusher.com", other.id)),
            ),
        ),
    ] {
        let token = beams_token_of(instance.key.reveal(), &claims);
        put(&server, &path, &format!("Bearer {token}"))
            .await
            .refused(status);
    }
    let forged = beams_token_of("ANOTHER KEY", &good);
    put(&server, &path, &format!("Bearer {forged}"))
        .await
        .refused(401);
    assert_eq!(server.get(&device).await.ok().json()["userId"], "");
}

#[tokio::test]
async fn a_token_of_a_signature_stripped_or_of_another_kind_is_refused() {
    let (server, instance, device) = server_with_device().await;
    let path = format!("{device}/user");
    let token = beams_token(&instance, "alice");
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, claims) = signed.split_once('.').unwrap();
    // {"alg":"none"} and {"alg":"HS512"}
    for forged in [
        format!("{signed}."),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("eyJhbGciOiJIUzUxMiJ9.{claims}.AAAA"),
        format!("{token}.{token}"),
        "x".repeat(10_000),
    ] {
        put(&server, &path, &format!("Bearer {forged}"))
            .await
            .refused(401);
    }
}

#[tokio::test]
async fn unknown_devices_and_instances_are_404() {
    let (server, instance, _) = server_with_device().await;
    let token = format!("Bearer {}", beams_token(&instance, "alice"));
    let unknown = device_path(&instance, "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac");
    let reply = put(&server, &format!("{unknown}/user"), &token).await;
    assert_eq!(reply.refused(404).0, "Device not found");
    let elsewhere = "/device_api/v1/instances/9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac/devices/fcm/\
                     fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac/user";
    assert_eq!(
        put(&server, elsewhere, &token).await.refused(404).0,
        "Instance not found"
    );
}

#[tokio::test]
async fn the_same_user_again_is_fine_and_another_is_not() {
    let (server, instance, device) = server_with_device().await;
    let id = device.rsplit('/').next().unwrap().to_owned();
    server.bind(&instance, &id, "alice").await.ok_and_empty();
    server.bind(&instance, &id, "alice").await.ok_and_empty();
    let (_, description) = server.bind(&instance, &id, "bob").await.refused(400);
    assert!(description.contains("another user"), "{description}");
    assert_eq!(server.get(&device).await.ok().json()["userId"], "alice");
}

#[tokio::test]
async fn the_issuer_may_be_this_server() {
    let (server, instance, device) = server_with_device().await;
    let path = format!("{device}/user");
    for issuer in [
        server.app.url().to_owned(),
        format!("{}/instances/{}", server.app.url(), instance.id),
    ] {
        let mut claims = claims(&instance);
        claims["iss"] = json!(issuer);
        let token = beams_token_of(instance.key.reveal(), &claims);
        put(&server, &path, &format!("Bearer {token}"))
            .await
            .ok_and_empty();
    }
}

#[tokio::test]
async fn the_hundred_and_first_device_is_refused_as_each_sdk_can_bear() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for n in 0..100 {
        let id = server.fcm_device(&instance, &format!("token-{n}")).await;
        server.bind(&instance, &id, "alice").await.ok();
    }
    let id = server.fcm_device(&instance, "one-more").await;
    let path = format!("{}/user", device_path(&instance, &id));
    let token = format!("Bearer {}", beams_token(&instance, "alice"));
    put(&server, &path, &token).await.refused(422);
    let swift = [
        ("Authorization", token.as_str()),
        ("X-Pusher-Library", "push-notifications-swift 4.0.0"),
    ];
    server
        .send(Method::PUT, &path, &swift, "")
        .await
        .refused(400);
    // The limit is for each platform by itself.
    let body = r#"{"token":"ab","bundleIdentifier":"x"}"#;
    let apple = server
        .post(
            &format!("{}/apns", crate::support::devices(&instance)),
            body,
        )
        .await
        .ok()
        .json();
    server
        .bind(&instance, apple["id"].as_str().unwrap(), "alice")
        .await
        .ok();
}
