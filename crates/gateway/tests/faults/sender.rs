//! Who sends to places that others chose: deliveries to push endpoints, and requests to webhooks. Both go through the one client, by
//! doors of their own, so what a far side may try is tried on both.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::clock::Timestamp;
use domain::device::{
    ApnsEnvironment, DeviceOrdinal, GatewayToken, Recipient, WebPushSubscription,
};
use domain::jws::Es256Key;
use domain::outcome::Outcome;
use domain::payload::{Rendered, WebPushMessage};
use domain::publish::PublishId;
use domain::webhook::WebhookId;
use gateway::{Channel, Delivery, Gateways, Post, Posted, Webhooks};

/// By which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Push,
    Webhook,
}

/// Every door.
pub(crate) const WAYS: [Way; 2] = [Way::Push, Way::Webhook];

pub(crate) enum Sender {
    Push(Channel),
    Webhook(Webhooks, WebhookId),
}

impl Way {
    pub(crate) fn of(self, gateways: &Gateways) -> Sender {
        match self {
            Self::Push => Sender::Push(gateways.web_push(Arc::new(Es256Key::generate().unwrap()))),
            Self::Webhook => Sender::Webhook(gateways.webhooks(), WebhookId::random()),
        }
    }
}

pub(crate) async fn send(sender: &Sender, to: SocketAddr) -> Outcome {
    sender.send_to(&to.to_string()).await
}

impl Sender {
    /// To a host and a port, or to a URL.
    pub(crate) async fn send_to(&self, to: &str) -> Outcome {
        let url = if to.contains("://") {
            to.to_owned()
        } else {
            format!("https://{to}/push")
        };
        match self {
            Self::Push(channel) => push(channel, &url).await,
            Self::Webhook(webhooks, id) => {
                let post = Post {
                    webhook: *id,
                    url: &url,
                    basic: None,
                    headers: &[("webhook-id", "1".to_owned())],
                    body: b"{}",
                };
                match webhooks.post(&post).await {
                    Posted::Answered(200..300) => Outcome::Accepted,
                    Posted::Answered(_) => Outcome::retry("refused"),
                    Posted::Failed(why) => Outcome::retry(why),
                    Posted::NotAsked => Outcome::retry("not_asked"),
                }
            }
        }
    }
}

async fn push(channel: &Channel, url: &str) -> Outcome {
    let p256dh = URL_SAFE_NO_PAD.encode(Es256Key::generate().unwrap().public_key());
    let auth = URL_SAFE_NO_PAD.encode([7; 16]);
    let json = format!(r#"{{"endpoint":"{url}","keys":{{"p256dh":"{p256dh}","auth":"{auth}"}}}}"#);
    let subscription = WebPushSubscription::from_json(json.as_bytes()).unwrap();
    let recipient = Recipient {
        device: DeviceOrdinal(1),
        token: GatewayToken::Web(Box::new(subscription)),
        bundle_id: None,
        environment: ApnsEnvironment::Production,
        registered_at: Timestamp::from_secs(0),
        user: None,
    };
    let message = WebPushMessage {
        plaintext: b"{}".to_vec(),
        ttl_secs: 60,
        urgency: None,
        topic: None,
    };
    let payload = Rendered::Web(message);
    let delivery = Delivery {
        publish: PublishId::random(),
        recipient: &recipient,
        payload: &payload,
    };
    channel.send(&delivery).await.outcome
}
