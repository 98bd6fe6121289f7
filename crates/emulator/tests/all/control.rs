//! The control API, as a person with curl uses it.

use emulator::{Gateway, PushSubscription};
use serde_json::{Value, json};

use crate::support::{Answer, Sender, World, device_token, send};

async fn call(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    let url = format!("{}{path}", world.emulators.control_url());
    let mut request = world.http.request(method.parse().unwrap(), url);
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    send(request).await
}

#[tokio::test]
async fn behaviours_are_set_shown_and_cleared() {
    let world = World::new().await;
    let device = device_token(1);
    let plan = json!({ "gateway": "apns", "token": device, "behaviour": "dead", "timestamp_ms": 5, "times": 2 });
    let answer = call(&world, "PUT", "/behaviours", Some(plan)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        send(world.apns(Gateway::Apns, &device)).await.json()["timestamp"],
        5
    );
    let shown = call(&world, "GET", "/behaviours", None).await.json();
    assert_eq!(
        shown["apns"]["tokens"][&device],
        json!({"behaviour":"dead","timestamp_ms":5,"times":1})
    );
    assert_eq!(shown["fcm"]["default"], json!({"behaviour":"ok"}));
    let place = json!({ "gateway": "apns", "token": device });
    assert_eq!(
        call(&world, "DELETE", "/behaviours", Some(place))
            .await
            .status,
        200
    );
    assert_eq!(send(world.apns(Gateway::Apns, &device)).await.status, 200);

    let default = json!({ "gateway": "apns", "behaviour": "throttled", "retry_after_s": 3 });
    call(&world, "PUT", "/behaviours", Some(default)).await;
    assert_eq!(
        send(world.apns(Gateway::Apns, &device))
            .await
            .header("retry-after"),
        "3"
    );
    assert_eq!(
        call(&world, "DELETE", "/behaviours", None).await.status,
        200
    );
    assert_eq!(send(world.apns(Gateway::Apns, &device)).await.status, 200);
}

#[tokio::test]
async fn wrong_requests_say_what_is_wrong_and_change_nothing() {
    let world = World::new().await;
    let before = call(&world, "GET", "/behaviours", None).await.body;
    for body in [
        json!({}),
        json!([]),
        json!({ "gateway": "apple", "behaviour": "ok" }),
        json!({ "gateway": "apns" }),
        json!({ "gateway": "apns", "behaviour": "explode" }),
        json!({ "gateway": "apns", "behaviour": "dead", "whence": 1 }),
        json!({ "gateway": "apns", "behaviour": "ok", "times": 0 }),
        json!({ "gateway": "apns", "behaviour": "ok", "times": -1 }),
        json!({ "gateway": "apns", "behaviour": "server-error", "status": 200 }),
        json!({ "gateway": "fcm-token", "token": "x", "behaviour": "hang" }),
    ] {
        let answer = call(&world, "PUT", "/behaviours", Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    for (path, body) in [
        ("/gateways/apns", json!({ "latency_ms": 600_001 })),
        ("/gateways/apns", json!({ "latency": 1 })),
        ("/gateways/apple", json!({})),
    ] {
        assert_eq!(
            call(&world, "PUT", path, Some(body)).await.status,
            400,
            "{path}"
        );
    }
    let odd_subscription = json!({ "applicationServerKey": "AAAA" });
    assert_eq!(
        call(&world, "POST", "/subscriptions", Some(odd_subscription))
            .await
            .status,
        400
    );
    assert_eq!(
        call(&world, "GET", "/notifications?limit=x", None)
            .await
            .status,
        400
    );
    assert_eq!(call(&world, "GET", "/nothing", None).await.status, 404);
    assert_eq!(
        call(&world, "DELETE", "/subscriptions/x", None)
            .await
            .status,
        404
    );
    assert_eq!(call(&world, "GET", "/behaviours", None).await.body, before);
}

#[tokio::test]
async fn settings_subscriptions_notifications_and_totals() {
    let world = World::new().await;
    let change = json!({ "max_concurrent_streams": 3, "latency_ms": 1 });
    let answer = call(&world, "PUT", "/gateways/apns", Some(change)).await;
    assert_eq!(answer.json()["max_concurrent_streams"], 3);
    assert_eq!(
        call(&world, "GET", "/gateways", None).await.json()["apns"]["latency_ms"],
        1
    );

    let sender = Sender::new();
    let key = json!({ "applicationServerKey": sender.public });
    let answer = call(&world, "POST", "/subscriptions", Some(key)).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["expirationTime"], Value::Null);
    let subscription: PushSubscription = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        send(world.web_push(&subscription, &sender)).await.status,
        201
    );
    send(world.apns(Gateway::Apns, &device_token(1))).await;

    let shown = call(&world, "GET", "/notifications?gateway=web-push", None)
        .await
        .json();
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["payload"]["notification"]["title"], "hi");
    let by_token = format!("/notifications?limit=1&token={}", device_token(1));
    assert_eq!(
        call(&world, "GET", &by_token, None).await.json()[0]["gateway"],
        "apns"
    );
    let totals = call(&world, "GET", "/totals", None).await.json();
    assert_eq!(totals["web-push"]["verdicts"]["accepted"], 1);
    assert_eq!(totals["apns"]["distinct_tokens_accepted"], 1);

    let id = subscription.endpoint.rsplit('/').next().unwrap();
    assert_eq!(
        call(&world, "DELETE", &format!("/subscriptions/{id}"), None)
            .await
            .status,
        200
    );
    assert_eq!(
        send(world.web_push(&subscription, &sender)).await.status,
        410
    );
    let place =
        json!({ "gateway": "web-push", "token": subscription.endpoint, "behaviour": "hang" });
    assert_eq!(
        call(&world, "PUT", "/behaviours", Some(place)).await.status,
        200
    );
    assert!(
        !call(&world, "GET", "/behaviours", None).await.json()["web-push"]["tokens"][id].is_null()
    );

    assert_eq!(call(&world, "POST", "/reset", None).await.status, 200);
    assert_eq!(
        call(&world, "GET", "/notifications", None).await.json(),
        json!([])
    );
    assert_eq!(call(&world, "POST", "/fcm/revoke", None).await.status, 200);
    assert_eq!(
        call(&world, "GET", "/browsers", None).await.json(),
        json!([])
    );
    assert_eq!(call(&world, "GET", "/", None).await.status, 200);
}

#[tokio::test]
async fn a_web_page_cannot_use_it() {
    let world = World::new().await;
    let url = format!("{}/reset", world.emulators.control_url());
    let from_page = world
        .http
        .post(&url)
        .header("origin", "https://evil.example");
    assert_eq!(send(from_page).await.status, 403);
    let rebound = world.http.post(&url).header("host", "evil.example:80");
    assert_eq!(send(rebound).await.status, 403);
    assert_eq!(send(world.http.post(&url)).await.status, 200);
}
