//! Firefox's push protocol, spoken by a client that is not Firefox.

use std::time::Duration;

use emulator::Gateway;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{Answer, PATIENCE, Sender, World, send};

const CHANNEL: &str = "0b6c7d4e-1111-4222-8333-444455556666";

struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Browser {
    async fn connect(world: &World) -> Self {
        let mut request = world.emulators.browser_url().into_client_request().unwrap();
        request.headers_mut().insert(
            "sec-websocket-protocol",
            "push-notification".parse().unwrap(),
        );
        let (socket, response) = connect_async(request).await.unwrap();
        assert_eq!(
            response.headers()["sec-websocket-protocol"],
            "push-notification"
        );
        Self { socket }
    }

    async fn say(&mut self, message: Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next text, or nothing if the connection was closed.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("a message");
            match next {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Whether anything else is waiting: a ping is answered in order.
    async fn hears_nothing(&mut self) {
        self.say(json!({})).await;
        assert_eq!(self.hear().await, Some(json!({})));
    }

    async fn hello(&mut self, uaid: Option<&str>) -> String {
        let mut hello = json!({ "messageType": "hello", "broadcasts": {}, "use_webpush": true });
        if let Some(uaid) = uaid {
            hello["uaid"] = json!(uaid);
        }
        self.say(hello).await;
        let answer = self.hear().await.unwrap();
        assert_eq!(
            (&answer["messageType"], &answer["status"]),
            (&json!("hello"), &json!(200))
        );
        assert_eq!(answer["use_webpush"], true);
        answer["uaid"].as_str().unwrap().to_owned()
    }

    async fn register(&mut self, channel: &str, key: &str) -> Value {
        self.say(json!({ "messageType": "register", "channelID": channel, "key": key }))
            .await;
        let answer = self.hear().await.unwrap();
        assert_eq!(
            (&answer["messageType"], &answer["channelID"]),
            (&json!("register"), &json!(channel))
        );
        answer
    }

    async fn ack(&mut self, notification: &Value) {
        let update = json!({ "channelID": notification["channelID"], "version": notification["version"], "code": 100 });
        self.say(json!({ "messageType": "ack", "updates": [update] }))
            .await;
    }
}

async fn push(
    world: &World,
    endpoint: &str,
    sender: &Sender,
    ttl: u32,
    topic: Option<&str>,
) -> Answer {
    // For the service it is opaque; only the browser could open it.
    let mut body = vec![7; 120];
    body[16..22].copy_from_slice(&[0, 0, 16, 0, 65, 4]);
    let mut request = world
        .http
        .post(endpoint)
        .header("authorization", world.vapid(sender, |_| {}))
        .header("ttl", ttl)
        .header("content-encoding", "aes128gcm")
        .body(body);
    if let Some(topic) = topic {
        request = request.header("topic", topic);
    }
    send(request).await
}

async fn subscribed() -> (World, Sender, Browser, String, String) {
    let (world, sender) = (World::new().await, Sender::new());
    let mut browser = Browser::connect(&world).await;
    let uaid = browser.hello(None).await;
    // Firefox pads the key.
    let answer = browser
        .register(CHANNEL, &format!("{}=", sender.public))
        .await;
    assert_eq!(answer["status"], 200);
    let endpoint = answer["pushEndpoint"].as_str().unwrap().to_owned();
    (world, sender, browser, uaid, endpoint)
}

#[tokio::test]
async fn a_message_travels_to_the_browser() {
    let (world, sender, mut browser, _, endpoint) = subscribed().await;
    assert!(endpoint.starts_with("https://127.0.0.1:"));
    assert_eq!(push(&world, &endpoint, &sender, 60, None).await.status, 201);
    let notification = browser.hear().await.unwrap();
    assert_eq!(notification["messageType"], "notification");
    assert_eq!(notification["channelID"], CHANNEL);
    assert_eq!(notification["headers"], json!({ "encoding": "aes128gcm" }));
    assert!(notification["data"].as_str().unwrap().starts_with("BwcHBw"));
    browser.ack(&notification).await;
    browser.hears_nothing().await;
    let empty = world.http.post(&endpoint).header("ttl", "1");
    assert_eq!(
        send(empty.header("authorization", world.vapid(&sender, |_| {})))
            .await
            .status,
        201
    );
    let bare = browser.hear().await.unwrap();
    assert!(bare.get("data").is_none() && bare.get("headers").is_none());
    assert_ne!(bare["version"], notification["version"]);
    assert_eq!(
        push(&world, &endpoint, &Sender::new(), 60, None)
            .await
            .status,
        403,
        "another sender's key"
    );
    browser
        .say(json!({ "messageType": "nack", "version": bare["version"], "code": 302 }))
        .await;
    browser
        .say(json!({ "messageType": "broadcast_subscribe", "broadcasts": {} }))
        .await;
    browser.hears_nothing().await;
    let url = format!("{}/browsers", world.emulators.control_url());
    let shown = send(world.http.get(url)).await.json();
    assert_eq!(shown[0]["codes"], json!({ "100": 1, "302": 1 }));
    assert_eq!(shown[0]["connected"], true);
}

#[tokio::test]
async fn messages_wait_for_a_browser_that_is_away() {
    let (world, sender, browser, uaid, endpoint) = subscribed().await;
    drop(browser);
    wait_until_away(&world).await;
    push(&world, &endpoint, &sender, 0, None).await;
    push(&world, &endpoint, &sender, 10, None).await;
    push(&world, &endpoint, &sender, 3600, Some("same")).await;
    push(&world, &endpoint, &sender, 3600, Some("same")).await;
    push(&world, &endpoint, &sender, 3600, Some("other")).await;
    world.clock.advance(Duration::from_secs(11));
    let mut browser = Browser::connect(&world).await;
    assert_eq!(browser.hello(Some(&uaid)).await, uaid, "the name is kept");
    let first = browser.hear().await.unwrap();
    let second = browser.hear().await.unwrap();
    assert_ne!(first["version"], second["version"]);
    browser.hears_nothing().await;
    // What was not acknowledged comes again.
    browser.ack(&first).await;
    browser.hears_nothing().await;
    drop(browser);
    let mut browser = Browser::connect(&world).await;
    browser.hello(Some(&uaid)).await;
    assert_eq!(browser.hear().await.unwrap()["version"], second["version"]);
    browser.hears_nothing().await;
}

async fn wait_until_away(world: &World) {
    let url = format!("{}/browsers", world.emulators.control_url());
    let away = async {
        while send(world.http.get(&url)).await.json()[0]["connected"] == json!(true) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, away).await.unwrap();
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (world, sender, browser, uaid, endpoint) = subscribed().await;
    drop(browser);
    wait_until_away(&world).await;
    for _ in 0..300 {
        assert_eq!(
            push(&world, &endpoint, &sender, 3600, None).await.status,
            201
        );
    }
    let mut browser = Browser::connect(&world).await;
    browser.hello(Some(&uaid)).await;
    for _ in 0..256 {
        assert_eq!(browser.hear().await.unwrap()["messageType"], "notification");
    }
    browser.hears_nothing().await;
}

#[tokio::test]
async fn a_ttl_of_zero_reaches_who_is_there() {
    let (world, sender, mut browser, _, endpoint) = subscribed().await;
    push(&world, &endpoint, &sender, 0, None).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.hear().await.unwrap()["messageType"], "notification");
}

#[tokio::test]
async fn unsubscribing_ends_the_endpoint() {
    let (world, sender, mut browser, uaid, endpoint) = subscribed().await;
    let again = browser.register(CHANNEL, &sender.public).await;
    assert_eq!(
        again["pushEndpoint"], endpoint,
        "the same channel has one endpoint"
    );
    browser
        .say(json!({ "messageType": "unregister", "channelID": CHANNEL, "code": 200 }))
        .await;
    let answer = browser.hear().await.unwrap();
    assert_eq!(
        answer,
        json!({ "messageType": "unregister", "channelID": CHANNEL, "status": 200 })
    );
    assert_eq!(push(&world, &endpoint, &sender, 60, None).await.status, 410);
    let fresh = browser.register(CHANNEL, &sender.public).await;
    assert_ne!(fresh["pushEndpoint"], endpoint);
    assert_eq!(world.emulators.accepted_for(Gateway::WebPush, &uaid), 0);
}

#[tokio::test]
async fn a_browser_that_is_not_known_gets_another_name() {
    let world = World::new().await;
    let mut browser = Browser::connect(&world).await;
    assert_ne!(
        browser
            .hello(Some("0123456789abcdef0123456789abcdef"))
            .await,
        "0123456789abcdef0123456789abcdef"
    );
}

#[tokio::test]
async fn a_second_connection_takes_over() {
    let (world, sender, mut old, uaid, endpoint) = subscribed().await;
    let mut new = Browser::connect(&world).await;
    assert_eq!(new.hello(Some(&uaid)).await, uaid);
    assert_eq!(old.hear().await, None, "the old one is closed");
    push(&world, &endpoint, &sender, 60, None).await;
    assert_eq!(new.hear().await.unwrap()["messageType"], "notification");
}

#[tokio::test]
async fn bad_messages_are_refused() {
    let (world, _, mut browser, _, _) = subscribed().await;
    assert_eq!(
        browser
            .register(CHANNEL.replace('6', "7").as_str(), "AAAA")
            .await["status"],
        400
    );
    assert_eq!(
        browser.register("not-a-uuid", &Sender::new().public).await["status"],
        400
    );
    browser.say(json!({ "messageType": "register" })).await;
    assert_eq!(browser.hear().await, None, "closed");
    let mut rude = Browser::connect(&world).await;
    rude.say(json!({ "messageType": "register", "channelID": CHANNEL, "key": "x" }))
        .await;
    assert_eq!(rude.hear().await, None, "hello comes first");
    let mut large = Browser::connect(&world).await;
    large.hello(None).await;
    let _ = large.socket.send(Message::text("x".repeat(70_000))).await;
    assert_eq!(large.hear().await, None, "too large");
}

#[tokio::test]
async fn stopping_closes_the_socket() {
    let (world, _, mut browser, _, _) = subscribed().await;
    world.emulators.stop().await;
    assert_eq!(browser.hear().await, None);
}
