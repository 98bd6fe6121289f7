//! Webhooks, as an app's backend receives them: over TCP and TLS, well-behaved and not.

mod managed;
pub(crate) mod receiver;

use domain::webhook::{Scheme, WebhookId, WebhookSecret};
use gateway::Guard;
use http::Method;
use serde_json::{Value, json};
use server::admin::webhooks::{New, Typed, WebhookSecretText, record};
use store::webhooks::{RequestReport, RequestState};

use crate::support::{Instance, JSON, NOW, Server, device_path};
use receiver::{Kind, Received, Receiver, until};

const SECRET: &str = "a secret of this webhook";
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const LOOPBACK: (&str, &str) = ("outbound.allow", "127.0.0.0/8");

/// Adds a webhook as the admin API would, but for the check of its URL.
async fn add(server: &Server, instance: &Instance, url: &str, events: &[&str]) -> WebhookId {
    add_signed(server, instance, url, events, Scheme::Beams).await
}

async fn add_signed(
    server: &Server,
    instance: &Instance,
    url: &str,
    events: &[&str],
    scheme: Scheme,
) -> WebhookId {
    let secret = match scheme {
        Scheme::Beams => SECRET,
        Scheme::Standard => STANDARD_SECRET,
    };
    let typed = Typed {
        url: url.into(),
        secret: Some(WebhookSecretText(secret.to_owned().into())),
        scheme: Some(scheme.as_str().into()),
        events: events.iter().map(|&event| event.into()).collect(),
        custom_data: Some(r#"{"app":"shop"}"#.into()),
    };
    let lenient = Guard::new(vec!["0.0.0.0/0".parse().unwrap()]);
    let new = New::check(&typed, &lenient).unwrap();
    let id = WebhookId::random();
    let sealed = server
        .app
        .vault()
        .seal_webhook_secret(instance.id, id, &new.secret);
    let record = record(id, &new, sealed.unwrap(), NOW);
    let added = server
        .app
        .store()
        .add_webhook(instance.id, record, 10)
        .await;
    assert!(added.unwrap());
    id
}

async fn requests(server: &Server, instance: &Instance, id: WebhookId) -> Vec<RequestReport> {
    let found = server
        .app
        .store()
        .webhook_requests(instance.id, id, None, None, 100);
    found.await.unwrap().unwrap()
}

/// The one request of a webhook, once it was tried.
async fn tried(server: &Server, instance: &Instance, id: WebhookId) -> RequestReport {
    until("the request is tried", async || {
        let all = requests(server, instance, id).await;
        all.into_iter()
            .next()
            .filter(|request| request.attempts > 0)
    })
    .await
}

async fn publish(
    server: &Server,
    instance: &Instance,
    to: &str,
    body: &Value,
) -> crate::support::Reply {
    let path = format!("/publish_api/v1/instances/{}/publishes/{to}", instance.id);
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    server
        .send(Method::POST, &path, &headers, body.to_string())
        .await
}

async fn report(
    server: &Server,
    instance: &Instance,
    kind: &str,
    publish: &str,
    device: &str,
    user: &str,
) {
    let path = format!("/reporting_api/v2/instances/{}/events", instance.id);
    let body = json!({
        "event": kind, "publishId": publish, "deviceId": device, "timestampSecs": NOW.as_secs(), "userId": user
    });
    server.post(&path, &body.to_string()).await.ok_and_empty();
}

fn assert_signed(received: &Received) {
    let secret = WebhookSecret::parse(Scheme::Beams, SECRET).unwrap();
    assert_eq!(
        received.header("webhook-signature"),
        secret.sign_beams(&received.body)
    );
    assert_eq!(received.header("user-agent"), "pusher-webhooks");
    assert_eq!(received.header("content-type"), "application/json");
}

#[tokio::test]
async fn the_three_events_of_beams_arrive_signed_over_tls() {
    let receiver = Receiver::start(Kind::Tls).await;
    let ca = receiver.ca_file();
    let ca = ca.path().to_str().unwrap().to_owned();
    let server = Server::start_with(&[LOOPBACK, ("outbound.ca_file", &ca)]).await;
    let instance = server.instance().await;
    let id = add(&server, &instance, &receiver.url("/ok"), &[]).await;
    let device = server.fcm_device(&instance, "token").await;
    server
        .bind(&instance, &device, "alice")
        .await
        .ok_and_empty();

    let body = json!({"users": ["alice", "bob"], "fcm": {"data": {}}});
    let accepted = publish(&server, &instance, "users", &body).await;
    let publish_id = accepted.ok().json()["publishId"]
        .as_str()
        .unwrap()
        .to_owned();
    let attempt = receiver.next("/ok").await;
    assert_signed(&attempt);
    assert_eq!(
        attempt.header("webhook-event-type"),
        "v1.PublishToUsersAttempt"
    );
    assert_eq!(attempt.header("webhook-id-uuid"), id.to_string());
    let request = &requests(&server, &instance, id).await[0];
    assert_eq!(
        attempt.header("webhook-request-id-uuid"),
        request.id.to_string()
    );
    let metadata = |event: &str, received: &Received| {
        json!({
            "created_at": "2026-01-01T00:00:00+0000", "event_type": event,
            "event_id": received.json()["metadata"]["event_id"], "product": "beams"
        })
    };
    // There is no credential for FCM, so nothing could be delivered.
    assert_eq!(
        attempt.json(),
        json!({
            "payload": {
                "instance_id": instance.id.to_string(), "publish_id": publish_id,
                "users_delivered_to_gateway": [], "users_no_devices": ["bob"], "users_gateway_failed": ["alice"]
            },
            "metadata": metadata("v1.PublishToUsersAttempt", &attempt),
            "custom_data": {"app": "shop"}
        })
    );
    for (kind, event) in [
        ("Delivery", "v1.UserNotificationAcknowledgement"),
        ("Open", "v1.UserNotificationOpen"),
    ] {
        report(&server, &instance, kind, &publish_id, &device, "alice").await;
        let told = receiver.next("/ok").await;
        assert_signed(&told);
        assert_eq!(told.header("webhook-event-type"), event);
        assert_eq!(
            told.json(),
            json!({
                "payload": {
                    "instance_id": instance.id.to_string(), "publish_id": publish_id, "user_id": "alice"
                },
                "metadata": metadata(event, &told),
                "custom_data": {"app": "shop"}
            })
        );
    }
}

#[tokio::test]
async fn a_report_that_is_repeated_or_names_another_user_is_not_told() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    add(
        &server,
        &instance,
        &receiver.url("/ok"),
        &[
            "v1.UserNotificationAcknowledgement",
            "v1.UserNotificationOpen",
        ],
    )
    .await;
    let device = server.fcm_device(&instance, "token").await;
    server
        .bind(&instance, &device, "alice")
        .await
        .ok_and_empty();
    let body = json!({"interests": ["x"], "fcm": {"data": {}}});
    let accepted = publish(&server, &instance, "interests", &body).await;
    let publish_id = accepted.ok().json()["publishId"]
        .as_str()
        .unwrap()
        .to_owned();
    for _ in 0..3 {
        report(
            &server,
            &instance,
            "Delivery",
            &publish_id,
            &device,
            "alice",
        )
        .await;
    }
    let second = publish(&server, &instance, "interests", &body).await;
    let second = second.ok().json()["publishId"].as_str().unwrap().to_owned();
    report(&server, &instance, "Open", &second, &device, "mallory").await;
    report(&server, &instance, "open", &publish_id, &device, "alice").await;
    let (first, last) = (receiver.next("/ok").await, receiver.next("/ok").await);
    let mut told = [
        first.header("webhook-event-type"),
        last.header("webhook-event-type"),
    ];
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "v1.UserNotificationAcknowledgement",
            "v1.UserNotificationOpen"
        ]
    );
    assert_eq!(receiver.seen("/ok"), 2);
}

#[tokio::test]
async fn the_standard_signature_is_sent_where_it_was_chosen() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    let events = ["v1.DeviceRegistered"];
    add_signed(
        &server,
        &instance,
        &receiver.url("/ok?x=1"),
        &events,
        Scheme::Standard,
    )
    .await;
    server.fcm_device(&instance, "token").await;
    let told = receiver.next("/ok?x=1").await;
    let secret = WebhookSecret::parse(Scheme::Standard, STANDARD_SECRET).unwrap();
    let id = told.header("webhook-id").to_owned();
    assert!(id.starts_with("msg_"));
    assert_eq!(told.header("webhook-timestamp"), NOW.as_secs().to_string());
    assert_eq!(
        told.header("webhook-signature"),
        secret.sign_standard(&id, NOW, &told.body)
    );
}

#[tokio::test]
async fn receivers_that_misbehave_cost_nobody_else_anything() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK, ("webhooks.timeout_secs", "1")]).await;
    let instance = server.instance().await;
    let events = ["v1.DeviceRegistered"];
    let mut ids = Vec::new();
    for path in [
        "/silent",
        "/endless",
        "/redirect",
        "/broken",
        "/no-http",
        "/ok",
    ] {
        ids.push(add(&server, &instance, &receiver.url(path), &events).await);
    }
    server.fcm_device(&instance, "token").await;
    receiver.next("/ok").await;
    for (id, status, error) in [
        (ids[0], None, Some("timeout")),
        // Its status came; the rest is not waited for longer than for an answer.
        (ids[1], Some(200), None),
        (ids[2], Some(302), Some("status_302")),
        (ids[3], None, Some("connection_lost")),
        (ids[4], None, Some("connection_lost")),
        (ids[5], Some(200), None),
    ] {
        let request = tried(&server, &instance, id).await;
        assert_eq!((request.status, request.error.as_deref()), (status, error));
        let ended = error.is_none();
        assert_eq!(request.state == RequestState::Delivered, ended);
        assert_eq!(request.due_at.is_some(), !ended);
    }
    assert_eq!(receiver.seen("/elsewhere"), 0, "a redirect is not followed");
}

#[tokio::test]
async fn what_is_not_in_the_public_internet_is_not_called() {
    let receiver = Receiver::start(Kind::Tls).await;
    let server = Server::start().await;
    let instance = server.instance().await;
    let events = ["v1.DeviceRegistered"];
    let port = receiver.port();
    let mut ids = Vec::new();
    for url in [
        format!("https://127.0.0.1:{port}/ok"),
        format!("https://[::ffff:127.0.0.1]:{port}/ok"),
        format!("http://127.0.0.1:{port}/ok"),
        "https://localhost/ok".into(),
        "https://169.254.169.254/latest/meta-data".into(),
    ] {
        ids.push(add(&server, &instance, &url, &events).await);
    }
    server.fcm_device(&instance, "token").await;
    for id in ids {
        let request = tried(&server, &instance, id).await;
        assert_eq!(request.error.as_deref(), Some("address_not_allowed"));
    }
    assert_eq!(receiver.connections(), 0);
    // Whoever adds one is told at once, where its address can be read off.
    let guard = server.app.instances().guard();
    for url in [
        "https://127.0.0.1/x",
        "http://app.example/",
        "https://10.0.0.1/",
    ] {
        let typed = Typed {
            url: url.into(),
            ..Typed::default()
        };
        let refused = New::check(&typed, guard).unwrap_err();
        assert!(refused.to_string().starts_with("`url`: "), "{refused}");
    }
}

#[tokio::test]
async fn a_publish_may_bring_its_own_webhook() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    server.fcm_device(&instance, "token").await;
    let url = receiver.url("/ok").replace("//", "//user:pass%20word@");
    let body =
        json!({"interests": ["nobody-has-it"], "webhookUrl": url, "fcm": {"data": {"n": "1"}}});
    let accepted = publish(&server, &instance, "interests", &body).await;
    let publish_id = accepted.ok().json()["publishId"].clone();
    let (started, finished) = (receiver.next("/ok").await, receiver.next("/ok").await);
    for told in [&started, &finished] {
        // `user:pass word`
        assert_eq!(told.header("authorization"), "Basic dXNlcjpwYXNzIHdvcmQ=");
        assert_eq!(told.header("webhook-signature"), "");
    }
    let mut expected = json!({"publishId": publish_id, "status": "STARTED", "requestBody": body});
    assert_eq!(started.json(), expected);
    expected["status"] = "FINISHED".into();
    expected["results"] = json!({"fcm": {"numSuccessfulPublishes": 0}});
    assert_eq!(finished.json(), expected);
}

#[tokio::test]
async fn a_publishs_webhook_has_a_url_or_is_none() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let with = |url: Value| json!({"interests": ["a"], "webhookUrl": url, "fcm": {"data": {}}});
    for url in [
        json!("nonsense"),
        json!("ftp://a.example/"),
        json!(7),
        json!(["x"]),
    ] {
        let refused = publish(&server, &instance, "interests", &with(url)).await;
        let (_, refused) = refused.refused(422);
        assert!(refused.starts_with("`webhookUrl`: "), "{refused}");
    }
    for url in [json!(""), Value::Null] {
        publish(&server, &instance, "interests", &with(url))
            .await
            .ok();
    }
    assert_eq!(server.app.store().webhook_depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_devices_life_is_told_to_who_wants_it() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    let all = ["v1.DeviceRegistered", "v1.DeviceBound", "v1.DeviceRemoved"];
    add(&server, &instance, &receiver.url("/ok"), &all).await;
    let device = server.fcm_device(&instance, "token").await;
    let told = receiver.next("/ok").await;
    assert_eq!(told.header("webhook-event-type"), "v1.DeviceRegistered");
    assert_eq!(told.json()["payload"]["device_id"], device);
    server.fcm_device(&instance, "token").await;
    server
        .bind(&instance, &device, "alice")
        .await
        .ok_and_empty();
    let told = receiver.next("/ok").await;
    assert_eq!(told.header("webhook-event-type"), "v1.DeviceBound");
    assert_eq!(told.json()["payload"]["user_id"], "alice");
    server
        .delete(&device_path(&instance, &device))
        .await
        .ok_and_empty();
    let told = receiver.next("/ok").await;
    assert_eq!(told.header("webhook-event-type"), "v1.DeviceRemoved");
    assert_eq!(told.json()["payload"]["reason"], "deleted");
    assert_eq!(receiver.seen("/ok"), 3, "registering again is no news");
}
