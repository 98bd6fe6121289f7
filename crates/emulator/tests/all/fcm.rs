//! Google's rules, each broken once.

use std::time::Duration;

use emulator::{Behaviour, Gateway, Verdict};
use serde_json::{Value, json};

use crate::support::{Answer, World, client, send};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn message(mut fields: Value) -> Value {
    fields["token"] = json!("device-1:APA91b");
    json!({ "message": fields })
}

fn error_code(answer: &Answer) -> String {
    let details = &answer.json()["error"]["details"];
    details[0]["errorCode"].as_str().unwrap_or("").to_owned()
}

fn field(answer: &Answer) -> String {
    let details = answer.json()["error"]["details"]
        .as_array()
        .unwrap()
        .clone();
    let violations = details
        .iter()
        .find_map(|detail| detail.get("fieldViolations"))
        .unwrap();
    violations[0]["field"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_correct_message_is_accepted_and_shown() {
    let world = World::new().await;
    let token = world.access_token().await;
    let body = message(json!({
        "data": { "a": "1" },
        "notification": { "title": "hi" },
        "android": {
            "ttl": "3600s", "priority": "HIGH", "collapseKey": "k",
            "notification": { "click_action": "X", "color": "#aabbcc", "sticky": true, "notification_count": 3 },
        },
        "apns": { "headers": { "apns-priority": "5" }, "payload": { "aps": {} } },
        "webpush": { "headers": { "TTL": "1" }, "notification": { "any": [1] } },
        "fcm_options": { "analytics_label": "l" },
    }));
    let answer = world.fcm(&token, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let name = answer.json()["name"].as_str().unwrap().to_owned();
    assert!(
        name.starts_with("projects/heliostat-emulator/messages/"),
        "{name}"
    );
    let seen = world.last();
    assert_eq!(
        (seen.gateway, seen.verdict),
        (Gateway::Fcm, Verdict::Accepted)
    );
    assert_eq!(seen.token, "device-1:APA91b");
    assert_eq!(seen.id.as_deref(), Some(name.as_str()));
    assert_eq!(seen.payload_value(), body["message"]);
}

#[tokio::test]
async fn http_1_works_too() {
    let world = World::new().await;
    let token = world.access_token().await;
    let old = client(&world.emulators).http1_only().build().unwrap();
    let url = format!(
        "{}/v1/projects/heliostat-emulator/messages:send",
        world.emulators.url(Gateway::Fcm)
    );
    let answer = send(old.post(&url).bearer_auth(token).json(&message(json!({})))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_message_that_breaks_the_schema_names_the_field() {
    let world = World::new().await;
    let token = world.access_token().await;
    let cases = [
        (message(json!({ "datas": {} })), "message"),
        (message(json!({ "to": "x" })), "message"),
        (message(json!({ "data": { "n": 1 } })), "message.data[n]"),
        (message(json!({ "data": "x" })), "message.data"),
        (
            message(json!({ "android": { "time_to_live": "1s" } })),
            "message.android",
        ),
        (
            message(json!({ "android": { "ttl": 3600 } })),
            "message.android.ttl",
        ),
        (
            message(json!({ "android": { "ttl": "3600" } })),
            "message.android.ttl",
        ),
        (
            message(json!({ "android": { "priority": "high" } })),
            "message.android.priority",
        ),
        (
            message(json!({ "android": { "data": { "n": true } } })),
            "message.android.data[n]",
        ),
        (
            message(json!({ "android": { "notification": { "color": "red" } } })),
            "message.android.notification.color",
        ),
        (
            message(json!({ "notification": { "sound": "x" } })),
            "message.notification",
        ),
        (
            message(json!({ "notification": { "title": 1 } })),
            "message.notification.title",
        ),
        (
            message(json!({ "apns": { "payload": [] } })),
            "message.apns.payload",
        ),
        (
            json!({ "message": { "token": "t" }, "registration_ids": [] }),
            "",
        ),
        (json!([]), ""),
    ];
    for (body, wanted) in cases {
        let answer = world.fcm(&token, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["status"], "INVALID_ARGUMENT");
        assert_eq!(field(&answer), wanted, "{body}");
    }
    assert_eq!(world.emulators.total(Gateway::Fcm, Verdict::Refused), 15);
}

#[tokio::test]
async fn a_message_with_wrong_values_is_an_invalid_argument() {
    let world = World::new().await;
    let token = world.access_token().await;
    let big = "x".repeat(4097);
    let cases = [
        (json!({ "message": {} }), "message"),
        (json!({}), "message"),
        (
            json!({ "message": { "token": "t", "topic": "u" } }),
            "message",
        ),
        (json!({ "message": { "token": "" } }), "message.token"),
        (json!({ "message": { "token": "a b" } }), "message.token"),
        (
            message(json!({ "data": { "from": "x" } })),
            "message.data[from]",
        ),
        (
            message(json!({ "data": { "message_type": "x" } })),
            "message.data[message_type]",
        ),
        (
            message(json!({ "data": { "google.x": "x" } })),
            "message.data[google.x]",
        ),
        (
            message(json!({ "android": { "data": { "gcm.y": "x" } } })),
            "message.android.data[gcm.y]",
        ),
        (
            message(json!({ "android": { "ttl": "2419201s" } })),
            "message.android.ttl",
        ),
        (
            message(json!({ "android": { "notification": { "body_loc_args": ["a"] } } })),
            "message.android.notification.body_loc_args",
        ),
        (message(json!({ "data": { "k": big } })), "message"),
        (
            message(json!({ "notification": { "body": big } })),
            "message",
        ),
    ];
    for (body, wanted) in cases {
        let answer = world.fcm(&token, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(error_code(&answer), "INVALID_ARGUMENT", "{body}");
        assert_eq!(field(&answer), wanted, "{body}");
    }
    let most = message(json!({ "data": { "k": "x".repeat(4095) } }));
    assert_eq!(world.fcm(&token, &most).await.status, 200);
}

#[tokio::test]
async fn access_needs_a_token_that_is_current_and_of_the_project() {
    let world = World::new().await;
    let answer = world.fcm("nonsense", &message(json!({}))).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(world.last().verdict, Verdict::CredentialRefused);

    let token = world.access_token().await;
    let url = format!(
        "{}/v1/projects/other/messages:send",
        world.emulators.url(Gateway::Fcm)
    );
    let answer = send(
        world
            .http
            .post(url)
            .bearer_auth(&token)
            .json(&message(json!({}))),
    )
    .await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["error"]["status"], "PERMISSION_DENIED");

    for path in [
        "/fcm/send",
        "/v1/projects/heliostat-emulator/messages",
        "/v1/projects//messages:send",
    ] {
        let url = format!("{}{path}", world.emulators.url(Gateway::Fcm));
        assert_eq!(
            send(world.http.post(url).bearer_auth(&token).json(&json!({})))
                .await
                .status,
            404,
            "{path}"
        );
    }

    world.clock.advance(Duration::from_secs(3599));
    assert_eq!(world.fcm(&token, &message(json!({}))).await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.fcm(&token, &message(json!({}))).await.status, 401);

    let token = world.access_token().await;
    assert_eq!(world.fcm(&token, &message(json!({}))).await.status, 200);
    world.emulators.revoke_access_tokens();
    assert_eq!(world.fcm(&token, &message(json!({}))).await.status, 401);
}

#[tokio::test]
async fn the_token_endpoint_wants_a_correct_assertion() {
    let world = World::new().await;
    type Spoil = fn(&mut Value);
    let cases: &[(&str, Spoil)] = &[
        ("invalid_grant", |claims| {
            claims["iss"] = json!("other@example.com");
        }),
        ("invalid_grant", |claims| {
            claims["aud"] = json!("https://oauth2.googleapis.com/token");
        }),
        ("invalid_grant", |claims| {
            claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 3601);
        }),
        ("invalid_grant", |claims| {
            claims["exp"] = claims["iat"].clone();
        }),
        ("invalid_grant", |claims| {
            claims["iat"] = json!(claims["iat"].as_i64().unwrap() - 7200);
            claims["exp"] = json!(claims["exp"].as_i64().unwrap() - 7200);
        }),
        ("invalid_grant", |claims| {
            claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 3000);
            claims["exp"] = json!(claims["exp"].as_i64().unwrap() + 3000);
        }),
        ("invalid_scope", |claims| {
            claims["scope"] = json!("https://www.googleapis.com/auth/drive");
        }),
        ("invalid_scope", |claims| {
            drop(claims.as_object_mut().unwrap().remove("scope"));
        }),
    ];
    for (error, spoil) in cases {
        let answer = world.exchange(GRANT_TYPE, &world.assertion(spoil)).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"], *error, "{}", answer.body);
    }
    let other = World::new().await;
    let foreign = other.assertion(|claims| {
        claims["iss"] = world.account()["client_email"].clone();
        claims["aud"] = world.account()["token_uri"].clone();
    });
    assert_eq!(
        world.exchange(GRANT_TYPE, &foreign).await.json()["error"],
        "invalid_grant"
    );
    assert_eq!(
        world.exchange(GRANT_TYPE, "garbage").await.json()["error"],
        "invalid_grant"
    );
    let good = world.assertion(|_| {});
    assert_eq!(
        world.exchange("client_credentials", &good).await.json()["error"],
        "unsupported_grant_type"
    );
    assert_eq!(
        world.emulators.total(Gateway::FcmToken, Verdict::Accepted),
        0
    );
    assert_eq!(world.exchange(GRANT_TYPE, &good).await.status, 200);
}

#[tokio::test]
async fn the_token_endpoint_fails_on_demand() {
    let world = World::new().await;
    let good = world.assertion(|_| {});
    let refuse = Behaviour::RefuseCredential { reason: None };
    world
        .emulators
        .set_behaviour_times(Gateway::FcmToken, None, refuse, 1)
        .unwrap();
    let answer = world.exchange(GRANT_TYPE, &good).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (400, &json!("invalid_grant"))
    );
    let error = Behaviour::ServerError {
        status: Some(503),
        retry_after_s: Some(7),
    };
    world
        .emulators
        .set_behaviour_times(Gateway::FcmToken, None, error, 1)
        .unwrap();
    let answer = world.exchange(GRANT_TYPE, &good).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "7"));
    assert_eq!(world.exchange(GRANT_TYPE, &good).await.status, 200);
}

#[tokio::test]
async fn validate_only_is_taken_but_remarked() {
    let world = World::new().await;
    let token = world.access_token().await;
    let mut body = message(json!({}));
    body["validateOnly"] = json!(true);
    let answer = world.fcm(&token, &body).await;
    assert!(
        answer.json()["name"]
            .as_str()
            .unwrap()
            .ends_with("/fake_message_id")
    );
    assert_eq!(world.last().reason.as_deref(), Some("validate_only"));
}
