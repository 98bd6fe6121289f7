//! The story: three devices become a user's, and a publish finds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heliostat_client::{Client, Error, PublishId};
use http::Method;
use serde_json::{Value, json};

use super::device::{Answer, Call};
use super::screen::Screen;
use super::stage::Stage;
use super::watcher::Watcher;
use crate::cli::failure::Failure;

/// The user of the story.
pub(super) const USER: &str = "alice";
/// The interest of the story.
pub(super) const INTEREST: &str = "kitchen";

/// How much of a part of a path is shown: the platform and the beginning of a device's id.
const PART_LENGTH_MAX: usize = 20;

/// A device of the story.
#[derive(Debug)]
struct Device {
    name: &'static str,
    platform: &'static str,
    /// What the gateway's journal calls it.
    journal_token: String,
    /// What the client SDK sends when it registers.
    registration: Value,
    /// The server's answer to that.
    id: String,
}

/// Who took part.
#[derive(Debug)]
struct Cast {
    devices: [Device; 3],
}

impl Cast {
    fn journal_tokens(&self, wanted: impl Fn(&Device) -> bool) -> Vec<&str> {
        self.devices
            .iter()
            .filter(|device| wanted(device))
            .map(|device| device.journal_token.as_str())
            .collect()
    }
}

/// Tells the whole story. Fails if any request does, or if anything expected does not arrive.
pub(super) async fn tell(
    stage: &Stage,
    watcher: &mut Watcher,
    screen: &Screen,
) -> Result<(), Failure> {
    let narrator = Narrator {
        stage,
        screen,
        client: client(stage)?,
    };
    screen.step("Three devices register, as their client SDKs do when an app starts")?;
    let mut cast = Cast {
        devices: [iphone(), android(), narrator.browser().await?],
    };
    for device in &mut cast.devices {
        narrator.register(device).await?;
        watcher.know(&device.journal_token, device.name);
    }
    screen.step(format_args!(
        "Each binds to the user {USER}, with a Beams token that the app's backend signed"
    ))?;
    for device in &cast.devices {
        narrator.bind(device).await?;
    }
    screen.step(format_args!(
        "The phone and the browser subscribe to the interest {INTEREST}"
    ))?;
    for device in cast.devices.iter().filter(|device| subscribes(device)) {
        narrator.subscribe(device).await?;
    }

    screen.step(format_args!(
        "The backend publishes to the user {USER}: all three get it"
    ))?;
    let publish = narrator.publish_to_user().await?;
    watcher
        .expect(publish, &cast.journal_tokens(|_| true), screen)
        .await?;
    screen.step(format_args!(
        "The backend publishes to the interest {INTEREST}: two get it"
    ))?;
    let publish = narrator.publish_to_interest().await?;
    watcher
        .expect(publish, &cast.journal_tokens(subscribes), screen)
        .await?;
    screen.text("\nAll five notifications arrived.")
}

/// A payload for all three platforms.
pub(super) fn payload(title: &str, body: &str) -> Value {
    json!({
        "apns": {"aps": {"alert": {"title": title, "body": body}}},
        "fcm": {"notification": {"title": title, "body": body}},
        "web": {"notification": {"title": title, "body": body}},
    })
}

fn client(stage: &Stage) -> Result<Client, Failure> {
    let instance = stage.instance.id.to_string();
    Client::builder(&instance, stage.instance.secret_key.reveal())
        .base_url(stage.url())
        .build()
        .map_err(|error| Failure::new(format!("the demo's client cannot be made: {error}")))
}

fn subscribes(device: &Device) -> bool {
    device.platform != "apns"
}

fn iphone() -> Device {
    // 32 bytes, in hexadecimal.
    let token = format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    );
    Device {
        name: "iPhone",
        platform: "apns",
        registration: json!({
            "token": token,
            "bundleIdentifier": "com.example.dinner",
            "metadata": {"sdkVersion": "4.0.0", "iosVersion": "18.1.0"},
        }),
        journal_token: token,
        id: String::new(),
    }
}

fn android() -> Device {
    let token = format!(
        "demo-{}:APA91b{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    );
    Device {
        name: "Android phone",
        platform: "fcm",
        registration: json!({
            "token": token,
            "knownPreviousClientIds": [],
            "metadata": {"sdkVersion": "1.9.2", "androidVersion": "15"},
        }),
        journal_token: token,
        id: String::new(),
    }
}

/// Makes requests and shows them.
struct Narrator<'a> {
    stage: &'a Stage,
    screen: &'a Screen,
    client: Client,
}

impl Narrator<'_> {
    /// A browser subscribes at its push service with the instance's VAPID key.
    async fn browser(&self) -> Result<Device, Failure> {
        let answer = self
            .device_api("browser", Method::GET, "web-vapid-public-key", None, None)
            .await?;
        let key = answer.json["vapidPublicKey"].as_str();
        let subscription = self
            .stage
            .emulators
            .create_subscription(key)
            .map_err(|error| {
                Failure::new(format!("the demo's browser cannot subscribe: {error}"))
            })?;
        let id = subscription
            .endpoint
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        Ok(Device {
            name: "browser",
            platform: "web",
            journal_token: id,
            registration: json!({
                "token": STANDARD.encode(json!(subscription).to_string()),
                "metadata": {"sdkVersion": "2.1.0"},
            }),
            id: String::new(),
        })
    }

    async fn register(&self, device: &mut Device) -> Result<(), Failure> {
        let path = format!("devices/{}", device.platform);
        let body = Some(device.registration.clone());
        let answer = self
            .device_api(device.name, Method::POST, &path, None, body)
            .await?;
        let id = answer.json["id"].as_str();
        device.id = id
            .ok_or_else(|| Failure::new("the demo's device got no id"))?
            .to_owned();
        Ok(())
    }

    async fn bind(&self, device: &Device) -> Result<(), Failure> {
        let token = self
            .client
            .generate_token(USER)
            .map_err(|error| not_done("sign a Beams token", &error))?;
        let path = format!("devices/{}/{}/user", device.platform, device.id);
        self.device_api(device.name, Method::PUT, &path, Some(token.as_str()), None)
            .await?;
        Ok(())
    }

    async fn subscribe(&self, device: &Device) -> Result<(), Failure> {
        let path = format!(
            "devices/{}/{}/interests/{INTEREST}",
            device.platform, device.id
        );
        self.device_api(device.name, Method::POST, &path, None, None)
            .await?;
        Ok(())
    }

    async fn publish_to_user(&self) -> Result<PublishId, Failure> {
        let payload = payload("Dinner is ready", "Come before it is cold");
        let answer = self.client.publish_to_users(&[USER], &payload).await;
        self.show_publish(&format!(r#""users": ["{USER}"]"#), "users", answer)
    }

    async fn publish_to_interest(&self) -> Result<PublishId, Failure> {
        let payload = payload("Who does the dishes?", "The first one here chooses");
        let answer = self
            .client
            .publish_to_interests(&[INTEREST], &payload)
            .await;
        self.show_publish(
            &format!(r#""interests": ["{INTEREST}"]"#),
            "interests",
            answer,
        )
    }

    fn show_publish(
        &self,
        audience: &str,
        kind: &str,
        answer: Result<PublishId, Error>,
    ) -> Result<PublishId, Failure> {
        let publish = answer.map_err(|error| not_done("publish", &error))?;
        let request = format!("POST /publish_api/v1/instances/…/publishes/{kind}");
        let body = format!(r#"{{{audience}, "apns": …, "fcm": …, "web": …}}"#);
        let said = format!(r#"200 {{"publishId":"{publish}"}}"#);
        self.screen.request("backend", &request, &body, said)?;
        Ok(publish)
    }

    /// One request of a device, shown with its answer.
    async fn device_api(
        &self,
        who: &str,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> Result<Answer, Failure> {
        let shown = format!("{method} /device_api/v1/instances/…/{}", shorten(path));
        let shown_body = match (&body, bearer) {
            (Some(body), _) => in_short(body),
            (None, Some(token)) => format!("Authorization: Bearer {}", clip(token, 40)),
            (None, None) => String::new(),
        };
        let path = format!("/device_api/v1/instances/{}/{path}", self.stage.instance.id);
        let answer = Call {
            method,
            path,
            bearer,
            body,
        }
        .send(self.stage.server())
        .await?;
        let said = if answer.json.is_null() {
            String::new()
        } else {
            format!(" {}", clip(&answer.json.to_string(), 100))
        };
        self.screen.request(
            who,
            &shown,
            &shown_body,
            format_args!("{}{said}", answer.status.as_u16()),
        )?;
        Ok(answer)
    }
}

fn not_done(what: &str, error: &Error) -> Failure {
    Failure::new(format!("the demo's backend could not {what}: {error}"))
}

/// A path with its long parts, the ids, cut.
fn shorten(path: &str) -> String {
    let parts: Vec<String> = path
        .split('/')
        .map(|part| clip(part, PART_LENGTH_MAX))
        .collect();
    parts.join("/")
}

/// A body with its long texts cut.
fn in_short(body: &Value) -> String {
    let mut body = body.clone();
    for value in body
        .as_object_mut()
        .into_iter()
        .flat_map(|object| object.values_mut())
    {
        if let Value::String(text) = value {
            *text = clip(text, 24);
        }
    }
    body.to_string()
}

fn clip(text: &str, length_max: usize) -> String {
    if text.chars().count() <= length_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length_max).collect();
    format!("{kept}…")
}
