//! The rules of RFC 8030, 8188, 8291 and 8292, each broken once.

use std::time::Duration;

use emulator::{Change, Gateway, Verdict};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{Sender, World, client, encrypt, send};

#[tokio::test]
async fn a_correct_message_is_accepted_decrypted_and_shown() {
    let world = World::new().await;
    let sender = Sender::new();
    let subscription = world
        .emulators
        .create_subscription(Some(&sender.public))
        .unwrap();
    let request = world
        .web_push(&subscription, &sender)
        .header("urgency", "high")
        .header("topic", "news");
    let answer = send(request).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(answer.header("location").starts_with("https://127.0.0.1:"));
    assert_eq!(answer.header("ttl"), "60");
    let seen = world.last();
    assert_eq!(
        (seen.gateway, seen.verdict, seen.status),
        (Gateway::WebPush, Verdict::Accepted, Some(201))
    );
    assert!(subscription.endpoint.ends_with(&seen.token));
    assert_eq!(seen.payload_value(), json!({"notification":{"title":"hi"}}));
    assert_eq!(
        (seen.topic.as_deref(), seen.headers["urgency"].as_str()),
        (Some("news"), "high")
    );
    assert_eq!(seen.reason, None);
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_accepted_and_remarked() {
    let world = World::new().await;
    let sender = Sender::new();
    let mine = world
        .emulators
        .create_subscription(Some(&sender.public))
        .unwrap();
    let other = world.emulators.create_subscription(None).unwrap();
    let answer = send(world.web_push(&mine, &sender).body(encrypt(&other, b"{}"))).await;
    assert_eq!(answer.status, 201);
    assert!(
        world
            .last()
            .reason
            .as_deref()
            .unwrap()
            .contains("decrypted")
    );
    let answer = send(
        world
            .web_push(&mine, &sender)
            .body(encrypt(&mine, b"no json")),
    )
    .await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        world.last().reason.as_deref(),
        Some("the clear text is not JSON")
    );
    let off = Change {
        decrypt: Some(false),
        ..Change::default()
    };
    world.emulators.change(Gateway::WebPush, off).unwrap();
    send(world.web_push(&mine, &sender)).await;
    assert!(world.last().payload.is_none());
}

type Spoil = fn(RequestBuilder) -> RequestBuilder;

#[tokio::test]
async fn a_message_that_breaks_a_rule_is_refused() {
    let world = World::new().await;
    let sender = Sender::new();
    let subscription = world
        .emulators
        .create_subscription(Some(&sender.public))
        .unwrap();
    let cases: &[(&str, u16, Spoil)] = &[
        ("bad-urgency", 400, |request| {
            request.header("urgency", "extreme")
        }),
        ("bad-topic", 400, |request| {
            request.header("topic", "t".repeat(33))
        }),
        ("bad-topic", 400, |request| request.header("topic", "a.b")),
        ("short-encryption-header", 400, |request| {
            request.body(vec![0; 85])
        }),
        ("too-large", 413, |request| request.body(vec![0; 4097])),
    ];
    for (word, status, spoil) in cases {
        let answer = send(spoil(world.web_push(&subscription, &sender))).await;
        assert_eq!(
            (answer.status, &answer.json()["message"]),
            (*status, &json!(word))
        );
    }
}

#[tokio::test]
async fn a_message_needs_a_ttl_and_a_well_formed_encryption_header() {
    let world = World::new().await;
    let sender = Sender::new();
    let subscription = world
        .emulators
        .create_subscription(Some(&sender.public))
        .unwrap();
    let bare = |ttl: Option<&str>, encoding: Option<&str>, body: Vec<u8>| {
        let mut request = world.http.post(&subscription.endpoint).body(body);
        request = request.header("authorization", world.vapid(&sender, |_| {}));
        if let Some(ttl) = ttl {
            request = request.header("ttl", ttl);
        }
        match encoding {
            Some(encoding) => request.header("content-encoding", encoding),
            None => request,
        }
    };
    let good = encrypt(&subscription, b"{}");
    let flipped = |at: usize, value: u8| {
        let mut body = good.clone();
        body[at] = value;
        body
    };
    let aes = Some("aes128gcm");
    let cases = [
        ("missing-ttl", bare(None, aes, good.clone())),
        ("bad-ttl", bare(Some("soon"), aes, good.clone())),
        ("bad-ttl", bare(Some("-1"), aes, good.clone())),
        ("bad-encoding", bare(Some("1"), None, good.clone())),
        (
            "bad-encoding",
            bare(Some("1"), Some("aesgcm"), good.clone()),
        ),
        ("bad-sender-key", bare(Some("1"), aes, flipped(20, 64))),
        ("bad-sender-key", bare(Some("1"), aes, flipped(21, 2))),
        ("bad-record", bare(Some("1"), aes, good[..86 + 16].to_vec())),
    ];
    for (word, request) in cases {
        let answer = send(request).await;
        assert_eq!(
            (answer.status, &answer.json()["message"]),
            (400, &json!(word))
        );
    }
    let mut small_record = good.clone();
    small_record[16..20].copy_from_slice(&17_u32.to_be_bytes());
    let answer = send(bare(Some("1"), aes, small_record)).await;
    assert_eq!(answer.json()["message"], "bad-record-size");
    assert_eq!(
        send(bare(Some("0"), None, Vec::new())).await.status,
        201,
        "a message without a body"
    );
    assert_eq!(
        world.emulators.total(Gateway::WebPush, Verdict::Accepted),
        1
    );
}

#[tokio::test]
async fn the_sender_must_be_who_it_says() {
    let world = World::new().await;
    let sender = Sender::new();
    let subscription = world
        .emulators
        .create_subscription(Some(&sender.public))
        .unwrap();
    type Spoil = fn(&mut Value);
    let cases: &[(&str, Spoil)] = &[
        ("vapid-audience-mismatch", |claims| {
            claims["aud"] = json!("https://push.example.com");
        }),
        ("vapid-audience-mismatch", |claims| {
            claims["aud"] = json!(format!("{}/", claims["aud"].as_str().unwrap()));
        }),
        ("expired-vapid", |claims| {
            claims["exp"] = json!(claims["exp"].as_i64().unwrap() - 3600);
        }),
        ("vapid-valid-too-long", |claims| {
            claims["exp"] = json!(claims["exp"].as_i64().unwrap() + 23 * 3600 + 1);
        }),
        ("bad-vapid-contact", |claims| claims["sub"] = json!("me")),
        ("bad-vapid-contact", |claims| {
            drop(claims.as_object_mut().unwrap().remove("sub"));
        }),
    ];
    let post = |authorization: &str| {
        let request = world.http.post(&subscription.endpoint).header("ttl", "1");
        if authorization.is_empty() {
            request
        } else {
            request.header("authorization", authorization)
        }
    };
    for (word, spoil) in cases {
        let answer = send(post(&world.vapid(&sender, spoil))).await;
        assert_eq!(
            (answer.status, &answer.json()["message"]),
            (403, &json!(word))
        );
    }
    let other = Sender::new();
    let (mine, theirs) = (world.vapid(&sender, |_| {}), world.vapid(&other, |_| {}));
    let mixed = format!("{}, k={}", mine.split(',').next().unwrap(), other.public);
    for (status, word, authorization) in [
        (401, "missing-vapid", ""),
        (401, "bad-authorization", "WebPush x"),
        (401, "bad-authorization", "vapid t=x"),
        (403, "bad-vapid", "vapid t=x, k=AAAA"),
        (403, "bad-vapid-signature", &mixed),
        (403, "vapid-key-mismatch", &theirs),
    ] {
        let answer = send(post(authorization)).await;
        assert_eq!(
            (answer.status, &answer.json()["message"]),
            (status, &json!(word))
        );
    }
    assert_eq!(send(post(&mine)).await.status, 201);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        send(post(&mine)).await.json()["message"],
        "expired-vapid",
        "a remembered header ages too"
    );
}

#[tokio::test]
async fn an_endpoint_that_was_never_there_is_404_and_one_that_is_gone_410() {
    let world = World::new().await;
    let sender = Sender::new();
    let subscription = world.emulators.create_subscription(None).unwrap();
    let mut unknown = subscription.clone();
    unknown.endpoint.push('x');
    assert_eq!(send(world.web_push(&unknown, &sender)).await.status, 404);
    assert_eq!(
        send(world.web_push(&subscription, &sender)).await.status,
        201
    );
    assert_eq!(
        send(world.http.get(&subscription.endpoint)).await.status,
        405
    );
    assert!(world.emulators.remove_subscription(&subscription.endpoint));
    assert_eq!(
        send(world.web_push(&subscription, &sender)).await.status,
        410
    );
    assert_eq!(world.last().verdict, Verdict::Dead);
    assert!(!world.emulators.remove_subscription("nonsense"));
}

#[tokio::test]
async fn http_1_works_too() {
    let world = World::new().await;
    let sender = Sender::new();
    let subscription = world
        .emulators
        .create_subscription(Some(&sender.public))
        .unwrap();
    let old = client(&world.emulators).http1_only().build().unwrap();
    let request = old
        .post(&subscription.endpoint)
        .header("authorization", world.vapid(&sender, |_| {}))
        .header("ttl", "1")
        .header("content-encoding", "aes128gcm")
        .body(encrypt(&subscription, b"{}"));
    assert_eq!(send(request).await.status, 201);
    assert!(world.emulators.create_subscription(Some("no key")).is_err());
}
