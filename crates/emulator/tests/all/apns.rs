//! Apple's rules, each broken once.

use emulator::{Change, Gateway, Verdict};
use reqwest::{Method, RequestBuilder, Version};
use serde_json::json;
use std::time::Duration;

use crate::support::{World, client, device_token, send};

#[tokio::test]
async fn a_correct_notification_is_accepted_and_shown() {
    let world = World::new().await;
    let mut stream = world.emulators.subscribe();
    let id = "eabeae54-14a8-11e5-b60b-1697f925ec7b";
    let request = world
        .apns(Gateway::Apns, &device_token(1))
        .header("apns-id", id)
        .header("apns-priority", "5")
        .header("apns-expiration", "0")
        .header("apns-collapse-id", "c".repeat(64));
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["apns-id"], id);
    assert_eq!(response.bytes().await.unwrap(), "");

    let seen = stream.recv().await.unwrap();
    assert_eq!(seen.gateway, Gateway::Apns);
    assert_eq!(seen.token, device_token(1));
    assert_eq!(seen.topic.as_deref(), Some("com.example.app"));
    assert_eq!(seen.payload_value(), json!({"aps":{"alert":"hi"}}));
    assert_eq!(seen.verdict, Verdict::Accepted);
    assert_eq!(seen.status, Some(200));
    assert_eq!(seen.id.as_deref(), Some(id));
    assert_eq!(seen.headers["apns-priority"], "5");
    assert!(
        !serde_json::to_string(&*seen).unwrap().contains("earer"),
        "credentials are not shown"
    );

    assert_eq!(world.emulators.total(Gateway::Apns, Verdict::Accepted), 1);
    assert_eq!(
        world
            .emulators
            .accepted_for(Gateway::Apns, &device_token(1)),
        1
    );
    assert_eq!(
        world
            .emulators
            .total(Gateway::ApnsSandbox, Verdict::Accepted),
        0
    );
    world.emulators.stop().await;
}

#[tokio::test]
async fn an_id_is_made_when_there_is_none() {
    let world = World::new().await;
    let answer = send(world.apns(Gateway::ApnsSandbox, &device_token(1))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("apns-id").len(), 36);
    assert_eq!(answer.header("apns-unique-id").len(), 36);
}

type Spoil = fn(RequestBuilder) -> RequestBuilder;

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_apples_words() {
    let world = World::new().await;
    let cases: &[(&str, u16, Spoil)] = &[
        ("BadMessageId", 400, |request| {
            request.header("apns-id", "no-uuid")
        }),
        ("BadPriority", 400, |request| {
            request.header("apns-priority", "7")
        }),
        ("BadExpirationDate", 400, |request| {
            request.header("apns-expiration", "soon")
        }),
        ("BadExpirationDate", 400, |request| {
            request.header("apns-expiration", "-1")
        }),
        ("BadCollapseId", 400, |request| {
            request.header("apns-collapse-id", "c".repeat(65))
        }),
        ("DuplicateHeaders", 400, |request| {
            request.header("apns-topic", "com.example.other")
        }),
        ("PayloadEmpty", 400, |request| request.body("")),
        ("PayloadEmpty", 400, |request| request.body("{}")),
        ("PayloadEmpty", 400, |request| request.body("[1]")),
        ("PayloadTooLarge", 413, |request| request.body(sized(4097))),
        ("PayloadTooLarge", 413, |request| {
            request.body(sized(1 << 20))
        }),
    ];
    for (reason, status, spoil) in cases {
        let answer = send(spoil(world.apns(Gateway::Apns, &device_token(1)))).await;
        assert_eq!(answer.refusal(), (*status, (*reason).to_owned()));
        assert_eq!(answer.header("apns-id").len(), 36, "{reason}");
        assert_eq!(world.last().reason.as_deref(), Some(*reason));
    }
    assert_eq!(world.emulators.total(Gateway::Apns, Verdict::Accepted), 0);
    let answer = send(
        world
            .apns(Gateway::Apns, &device_token(1))
            .body(sized(4096)),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn sized(bytes: usize) -> String {
    let frame = r#"{"aps":{},"x":""}"#;
    format!(
        r#"{{"aps":{{}},"x":"{}"}}"#,
        "x".repeat(bytes - frame.len())
    )
}

/// Requests that differ in what the helper always sets.
#[tokio::test]
async fn topic_type_path_and_method_are_looked_at() {
    let world = World::new().await;
    let bare = |method: Method, path: &str| {
        let url = format!("{}{path}", world.emulators.url(Gateway::Apns));
        world
            .http
            .request(method, url)
            .bearer_auth(world.good_provider_token())
    };
    let device = format!("/3/device/{}", device_token(1));
    let body = r#"{"aps":{}}"#;
    let cases = [
        ("MissingTopic", 400, bare(Method::POST, &device).body(body)),
        (
            "MissingTopic",
            400,
            bare(Method::POST, &device)
                .header("apns-topic", "")
                .body(body),
        ),
        (
            "BadTopic",
            400,
            bare(Method::POST, &device)
                .header("apns-topic", "a b")
                .body(body),
        ),
        (
            "BadPath",
            404,
            bare(Method::POST, "/3/devices/x").body(body),
        ),
        ("BadPath", 404, bare(Method::GET, "/")),
        (
            "BadPath",
            404,
            bare(Method::POST, &format!("{device}/x")).body(body),
        ),
        (
            "MissingDeviceToken",
            400,
            bare(Method::POST, "/3/device/").body(body),
        ),
        ("MethodNotAllowed", 405, bare(Method::GET, &device)),
        (
            "BadDeviceToken",
            400,
            bare(Method::POST, "/3/device/xyz")
                .header("apns-topic", "t")
                .body(body),
        ),
    ];
    for (reason, status, request) in cases {
        let answer = send(request).await;
        assert_eq!(answer.refusal(), (status, reason.to_owned()));
    }
}

#[tokio::test]
async fn some_push_types_have_rules_of_their_own() {
    let world = World::new().await;
    let body = r#"{"aps":{}}"#;
    let url = format!(
        "{}/3/device/{}",
        world.emulators.url(Gateway::Apns),
        device_token(1)
    );
    let typed = |kind: &str| {
        let request = world
            .http
            .post(&url)
            .bearer_auth(world.good_provider_token());
        request
            .header("apns-topic", "t")
            .header("apns-push-type", kind.to_owned())
    };
    assert_eq!(
        send(typed("nonsense").body(body)).await.reason(),
        "InvalidPushType"
    );
    assert_eq!(send(typed("voip").body(sized(5120))).await.status, 200);
    assert_eq!(send(typed("voip").body(sized(5121))).await.status, 413);
    let background = |priority: &str| {
        typed("background")
            .header("apns-priority", priority)
            .body(body)
    };
    assert_eq!(send(background("10")).await.reason(), "BadPriority");
    assert_eq!(send(background("5")).await.status, 200);
}

#[tokio::test]
async fn a_provider_token_must_be_signed_current_and_the_teams() {
    let world = World::new().await;
    let (key, team, now) = (
        world.env("APNS_KEY_ID"),
        world.env("APNS_TEAM_ID"),
        world.now_s(),
    );
    let other = World::new().await;
    let header = jsonwebtoken::Header {
        kid: Some(key.to_owned()),
        ..Default::default()
    };
    let secret = jsonwebtoken::EncodingKey::from_secret(b"x");
    let symmetric =
        jsonwebtoken::encode(&header, &json!({"iss": team, "iat": now}), &secret).unwrap();
    let good = world.good_provider_token();
    // Another first character of the signature; the last one has bits that mean nothing.
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let spoilt = format!("{signed}.{first}{}", &signature[1..]);
    let cases = [
        ("InvalidProviderToken", "garbage".to_owned()),
        ("InvalidProviderToken", symmetric),
        ("InvalidProviderToken", other.provider_token(key, team, now)),
        (
            "InvalidProviderToken",
            world.provider_token("ABCDEFGHIJ", team, now),
        ),
        (
            "InvalidProviderToken",
            world.provider_token(key, "ABCDEFGHIJ", now),
        ),
        (
            "InvalidProviderToken",
            world.provider_token(key, team, now + 60),
        ),
        ("InvalidProviderToken", spoilt),
        (
            "ExpiredProviderToken",
            world.provider_token(key, team, now - 3601),
        ),
    ];
    let url = format!(
        "{}/3/device/{}",
        world.emulators.url(Gateway::Apns),
        device_token(1)
    );
    let post = || {
        world
            .http
            .post(&url)
            .header("apns-topic", "t")
            .body(r#"{"aps":{}}"#)
    };
    for (reason, token) in cases {
        let answer = send(post().bearer_auth(&token)).await;
        assert_eq!(answer.refusal(), (403, reason.to_owned()), "{token}");
    }
    assert_eq!(
        world
            .emulators
            .total(Gateway::Apns, Verdict::CredentialRefused),
        8
    );
}

#[tokio::test]
async fn a_provider_token_must_be_there_and_ages() {
    let world = World::new().await;
    let good = world.good_provider_token();
    let url = format!(
        "{}/3/device/{}",
        world.emulators.url(Gateway::Apns),
        device_token(1)
    );
    let post = || {
        world
            .http
            .post(&url)
            .header("apns-topic", "t")
            .body(r#"{"aps":{}}"#)
    };
    for request in [
        post(),
        post().header("authorization", "basic x"),
        post().header("authorization", "bearer"),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.refusal(), (403, "MissingProviderToken".to_owned()));
    }
    assert_eq!(send(post().bearer_auth(&good)).await.status, 200);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(send(post().bearer_auth(&good)).await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        send(post().bearer_auth(&good)).await.reason(),
        "ExpiredProviderToken"
    );
}

#[tokio::test]
async fn strict_apple_counts_how_often_a_token_is_renewed() {
    let world = World::new().await;
    let strict = Change {
        strict_token_updates: Some(true),
        ..Change::default()
    };
    world.emulators.change(Gateway::Apns, strict).unwrap();
    let device = device_token(1);
    let old = world.good_provider_token();
    let with = |token: &str| {
        let url = format!("{}/3/device/{device}", world.emulators.url(Gateway::Apns));
        world
            .http
            .post(url)
            .bearer_auth(token)
            .header("apns-topic", "t")
            .body(r#"{"aps":{}}"#)
    };
    assert_eq!(send(with(&old)).await.status, 200);
    world.clock.advance(Duration::from_secs(19 * 60));
    let new = world.good_provider_token();
    let answer = send(with(&new)).await;
    assert_eq!(
        answer.refusal(),
        (429, "TooManyProviderTokenUpdates".to_owned())
    );
    assert_eq!(
        send(with(&old)).await.status,
        200,
        "the older token still works"
    );
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(send(with(&new)).await.status, 200);
}

#[tokio::test]
async fn apple_speaks_http_2_only() {
    let world = World::new().await;
    let old = client(&world.emulators).http1_only().build().unwrap();
    let url = format!(
        "{}/3/device/{}",
        world.emulators.url(Gateway::Apns),
        device_token(1)
    );
    assert!(old.post(url).body("{}").send().await.is_err());
}
