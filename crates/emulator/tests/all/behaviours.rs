//! What each gateway answers on demand, per token, by default, and for a number of times.

use emulator::{Behaviour, Gateway, ResetCode, Verdict};
use serde_json::{Value, json};

use crate::support::{Answer, Sender, World, client, device_token, send};

/// One notification to each gateway, in a dialect that all tests share.
async fn notify(world: &World, gateway: Gateway, token: &str, sender: &Sender) -> Answer {
    match gateway {
        Gateway::Apns | Gateway::ApnsSandbox => send(world.apns(gateway, token)).await,
        Gateway::Fcm | Gateway::FcmToken => {
            let access = world.access_token().await;
            world
                .fcm(&access, &json!({ "message": { "token": token } }))
                .await
        }
        Gateway::WebPush => {
            let request = world
                .http
                .post(token)
                .header("authorization", world.vapid(sender, |_| {}));
            send(request.header("ttl", "1")).await
        }
    }
}

/// The word in an answer, whichever gateway it comes from.
fn word(answer: &Answer) -> String {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    let places = [
        &json["reason"],
        &json["error"]["details"][0]["errorCode"],
        &json["error"]["status"],
        &json["message"],
    ];
    places
        .iter()
        .find_map(|place| place.as_str())
        .unwrap_or("")
        .to_owned()
}

fn tokens(world: &World) -> [(Gateway, String); 4] {
    let endpoint = world.emulators.create_subscription(None).unwrap().endpoint;
    [
        (Gateway::Apns, device_token(1)),
        (Gateway::ApnsSandbox, device_token(1)),
        (Gateway::Fcm, "device-1".to_owned()),
        (Gateway::WebPush, endpoint),
    ]
}

/// A behaviour, what each gateway answers for it (status and word), and what that counts as.
type Case = (Behaviour, [(u16, &'static str); 4], Verdict);

fn cases() -> Vec<Case> {
    let throttled = |retry_after_s, retry_after_date_s| Behaviour::Throttled {
        retry_after_s,
        retry_after_date_s,
    };
    let server_error = |status| Behaviour::ServerError {
        status,
        retry_after_s: Some(9),
    };
    // Per gateway: status and word.
    vec![
        (
            Behaviour::Dead {
                timestamp_ms: Some(1_700_000_000_123),
            },
            [
                (410, "Unregistered"),
                (410, "Unregistered"),
                (404, "UNREGISTERED"),
                (410, "dead"),
            ],
            Verdict::Dead,
        ),
        (
            throttled(Some(30), None),
            [
                (429, "TooManyRequests"),
                (429, "TooManyRequests"),
                (429, "QUOTA_EXCEEDED"),
                (429, "too-many-messages"),
            ],
            Verdict::Throttled,
        ),
        (
            server_error(None),
            [
                (500, "InternalServerError"),
                (500, "InternalServerError"),
                (500, "INTERNAL"),
                (500, "server-error"),
            ],
            Verdict::ServerError,
        ),
        (
            server_error(Some(503)),
            [
                (503, "ServiceUnavailable"),
                (503, "ServiceUnavailable"),
                (503, "UNAVAILABLE"),
                (503, "server-error"),
            ],
            Verdict::ServerError,
        ),
        (
            Behaviour::RefuseCredential { reason: None },
            [
                (403, "InvalidProviderToken"),
                (403, "InvalidProviderToken"),
                (403, "SENDER_ID_MISMATCH"),
                (403, "bad-vapid"),
            ],
            Verdict::CredentialRefused,
        ),
        (
            Behaviour::Refuse {
                reason: "odd".to_owned(),
                status: Some(418),
            },
            [(418, "odd"), (418, "odd"), (418, "odd"), (418, "odd")],
            Verdict::Refused,
        ),
    ]
}

#[tokio::test]
async fn every_answer_can_be_had_from_every_gateway() {
    let world = World::new().await;
    let sender = Sender::new();
    let cases = cases();
    for (gateway_at, (gateway, token)) in tokens(&world).into_iter().enumerate() {
        for (behaviour, answers, verdict) in &cases {
            world
                .emulators
                .set_behaviour_times(gateway, Some(&token), behaviour.clone(), 1)
                .unwrap();
            let answer = notify(&world, gateway, &token, &sender).await;
            let (status, wanted) = answers[gateway_at];
            assert_eq!(
                (answer.status, word(&answer).as_str()),
                (status, wanted),
                "{gateway} {behaviour:?}"
            );
            assert_eq!(world.last().verdict, *verdict, "{gateway} {behaviour:?}");
            assert_eq!(world.last().status, Some(status));
            let well = notify(&world, gateway, &token, &sender).await;
            assert!(well.status < 300, "{gateway} {behaviour:?}: once only");
        }
    }
}

#[tokio::test]
async fn apple_says_since_when_a_token_is_dead() {
    let world = World::new().await;
    let dead = |timestamp_ms| Behaviour::Dead { timestamp_ms };
    world
        .emulators
        .set_behaviour(
            Gateway::Apns,
            Some(&device_token(1)),
            dead(Some(1_700_000_000_123)),
        )
        .unwrap();
    world
        .emulators
        .set_behaviour(Gateway::Apns, Some(&device_token(2)), dead(None))
        .unwrap();
    let answer = send(world.apns(Gateway::Apns, &device_token(1))).await;
    assert_eq!(answer.json()["timestamp"], 1_700_000_000_123_i64);
    let answer = send(world.apns(Gateway::Apns, &device_token(2))).await;
    assert_eq!(answer.json()["timestamp"], world.now_s() * 1000);
    // Production's plan holds on the sandbox too.
    assert_eq!(
        send(world.apns(Gateway::ApnsSandbox, &device_token(2)))
            .await
            .status,
        410
    );
}

#[tokio::test]
async fn a_sandbox_token_is_bad_on_production_only() {
    let world = World::new().await;
    world
        .emulators
        .set_behaviour(
            Gateway::Apns,
            Some(&device_token(1)),
            Behaviour::SandboxOnly,
        )
        .unwrap();
    let answer = send(world.apns(Gateway::Apns, &device_token(1))).await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "BadDeviceToken")
    );
    assert_eq!(
        send(world.apns(Gateway::ApnsSandbox, &device_token(1)))
            .await
            .status,
        200
    );
    assert_eq!(
        send(world.apns(Gateway::Apns, &device_token(2)))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn retry_after_comes_as_seconds_as_a_date_or_not_at_all() {
    let world = World::new().await;
    let sender = Sender::new();
    for (gateway, token) in tokens(&world) {
        for (seconds, date, wanted) in [
            (Some(30), None, "30"),
            (None, Some(60), "Mon, 21 Sep 2026 14:14:20 GMT"),
            (None, None, ""),
        ] {
            let behaviour = Behaviour::Throttled {
                retry_after_s: seconds,
                retry_after_date_s: date,
            };
            world
                .emulators
                .set_behaviour(gateway, Some(&token), behaviour)
                .unwrap();
            let answer = notify(&world, gateway, &token, &sender).await;
            assert_eq!(
                (answer.status, answer.header("retry-after")),
                (429, wanted),
                "{gateway}"
            );
        }
    }
}

#[tokio::test]
async fn documented_words_bring_their_documented_status() {
    let world = World::new().await;
    let sender = Sender::new();
    for (gateway, reason, status) in [
        (Gateway::Apns, "TopicDisallowed", 400),
        (Gateway::Apns, "DeviceTokenNotForTopic", 400),
        (Gateway::Apns, "ExpiredToken", 410),
        (Gateway::Apns, "TooManyProviderTokenUpdates", 429),
        (Gateway::Apns, "Shutdown", 503),
        (Gateway::Fcm, "THIRD_PARTY_AUTH_ERROR", 401),
        (Gateway::Fcm, "UNAUTHENTICATED", 401),
        (Gateway::Fcm, "INVALID_ARGUMENT", 400),
        (Gateway::Fcm, "SENDER_ID_MISMATCH", 403),
    ] {
        let token = device_token(7);
        let behaviour = Behaviour::Refuse {
            reason: reason.to_owned(),
            status: None,
        };
        world
            .emulators
            .set_behaviour(gateway, Some(&token), behaviour)
            .unwrap();
        let answer = notify(&world, gateway, &token, &sender).await;
        assert_eq!((answer.status, word(&answer).as_str()), (status, reason));
    }
}

#[tokio::test]
async fn malformed_and_redirecting_answers() {
    let world = World::new().await;
    let sender = Sender::new();
    for ((gateway, token), status) in tokens(&world).into_iter().zip([400, 400, 200, 400]) {
        let malformed = |status, bytes| Behaviour::Malformed { status, bytes };
        world
            .emulators
            .set_behaviour(gateway, Some(&token), malformed(None, None))
            .unwrap();
        let answer = notify(&world, gateway, &token, &sender).await;
        assert_eq!(answer.status, status, "{gateway}");
        assert!(serde_json::from_str::<Value>(&answer.body).is_err());
        assert_eq!(world.last().verdict, Verdict::Malformed);
        world
            .emulators
            .set_behaviour(gateway, Some(&token), malformed(Some(500), Some(3 << 20)))
            .unwrap();
        let answer = notify(&world, gateway, &token, &sender).await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (500, 3 << 20),
            "{gateway}"
        );
        let redirect = Behaviour::Redirect {
            location: "https://169.254.169.254/".to_owned(),
        };
        world
            .emulators
            .set_behaviour(gateway, Some(&token), redirect)
            .unwrap();
        let answer = notify(&world, gateway, &token, &sender).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (307, "https://169.254.169.254/")
        );
    }
}

#[tokio::test]
async fn a_default_holds_for_all_but_those_with_a_plan() {
    let world = World::new().await;
    let error = Behaviour::ServerError {
        status: None,
        retry_after_s: None,
    };
    world
        .emulators
        .set_behaviour(Gateway::Apns, None, error)
        .unwrap();
    world
        .emulators
        .set_behaviour(Gateway::Apns, Some(&device_token(1)), Behaviour::Ok)
        .unwrap();
    assert_eq!(
        send(world.apns(Gateway::Apns, &device_token(1)))
            .await
            .status,
        200
    );
    assert_eq!(
        send(world.apns(Gateway::Apns, &device_token(2)))
            .await
            .status,
        500
    );
    world.emulators.clear_behaviour(Gateway::Apns, None);
    assert_eq!(
        send(world.apns(Gateway::Apns, &device_token(2)))
            .await
            .status,
        200
    );
}

/// HTTP/1.1 has no streams: what is about them drops the connection.
#[tokio::test]
async fn on_http_1_what_is_about_streams_drops_the_connection() {
    let world = World::new().await;
    let endpoint = world.emulators.create_subscription(None).unwrap().endpoint;
    let old = client(&world.emulators).http1_only().build().unwrap();
    for behaviour in [
        Behaviour::RstStream {
            code: ResetCode::InternalError,
        },
        Behaviour::Goaway { abrupt: true },
        Behaviour::Cut,
    ] {
        world
            .emulators
            .set_behaviour_times(Gateway::WebPush, Some(&endpoint), behaviour, 1)
            .unwrap();
        assert!(old.post(&endpoint).header("ttl", "1").send().await.is_err());
        assert_eq!(world.last().verdict, Verdict::Unanswered);
    }
    let goaway = Behaviour::Goaway { abrupt: false };
    world
        .emulators
        .set_behaviour_times(Gateway::WebPush, Some(&endpoint), goaway, 1)
        .unwrap();
    let answer = send(old.post(&endpoint).header("ttl", "1")).await;
    assert_eq!((answer.status, answer.header("connection")), (201, "close"));
}

/// reqwest sends again by itself what a server says it has not processed, and only that.
#[tokio::test]
async fn what_was_not_processed_can_be_sent_again_at_once() {
    let world = World::new().await;
    let sender = Sender::new();
    for (gateway, token) in tokens(&world) {
        let key = token.rsplit('/').next().unwrap();
        let refused = Behaviour::RstStream {
            code: ResetCode::RefusedStream,
        };
        for behaviour in [Behaviour::Goaway { abrupt: true }, refused] {
            let before = world.emulators.accepted_for(gateway, key);
            let unanswered = world.emulators.total(gateway, Verdict::Unanswered);
            world
                .emulators
                .set_behaviour_times(gateway, Some(&token), behaviour.clone(), 1)
                .unwrap();
            let answer = notify(&world, gateway, &token, &sender).await;
            assert!(
                answer.status < 300,
                "{gateway} {behaviour:?}: {}",
                answer.status
            );
            assert_eq!(
                world.emulators.accepted_for(gateway, key),
                before + 1,
                "{gateway} {behaviour:?}"
            );
            assert_eq!(
                world.emulators.total(gateway, Verdict::Unanswered),
                unanswered + 1
            );
        }
    }
}
