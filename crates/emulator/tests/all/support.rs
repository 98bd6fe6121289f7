//! Running emulators, clients that trust them, and correct requests to spoil.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::clock::{Clock as _, ManualClock, Timestamp};
use emulator::{Config, Emulators, Gateway, Notification, PushSubscription, start};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for a busy machine; nothing is expected to take so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const NOW_S: i64 = 1_790_000_000;

pub(crate) struct World {
    pub emulators: Emulators,
    pub clock: Arc<ManualClock>,
    pub http: reqwest::Client,
    pub out: TempDir,
}

pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(crate) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or("").to_owned()
    }

    /// Status and Apple's word.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.reason())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
        Self {
            status,
            headers,
            body,
        }
    }
}

pub(crate) fn install_provider() {
    // An error only says that another test was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

impl World {
    pub(crate) async fn new() -> Self {
        install_provider();
        let out = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW_S)));
        let emulators = start(Config::local(out.path()), Arc::clone(&clock) as _)
            .await
            .unwrap();
        let http = client(&emulators).build().unwrap();
        Self {
            emulators,
            clock,
            http,
            out,
        }
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.clock.now().as_secs()
    }

    pub(crate) fn env(&self, name: &str) -> &str {
        self.emulators.env_value(name).unwrap()
    }

    pub(crate) fn last(&self) -> Arc<Notification> {
        self.emulators.recent().pop().unwrap()
    }

    // --- APNs ---

    pub(crate) fn provider_token(&self, kid: &str, iss: &str, iat: i64) -> String {
        let pem = std::fs::read(self.emulators.apns_key_file()).unwrap();
        let header = Header {
            kid: Some(kid.to_owned()),
            typ: None,
            ..Header::new(Algorithm::ES256)
        };
        let key = EncodingKey::from_ec_pem(&pem).unwrap();
        jsonwebtoken::encode(&header, &json!({ "iss": iss, "iat": iat }), &key).unwrap()
    }

    pub(crate) fn good_provider_token(&self) -> String {
        self.provider_token(
            self.env("APNS_KEY_ID"),
            self.env("APNS_TEAM_ID"),
            self.now_s(),
        )
    }

    pub(crate) fn apns(&self, gateway: Gateway, token: &str) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}/3/device/{token}", self.emulators.url(gateway)))
            .bearer_auth(self.good_provider_token())
            .header("apns-topic", "com.example.app")
            .header("apns-push-type", "alert")
            .body(r#"{"aps":{"alert":"hi"}}"#)
    }

    // --- FCM ---

    pub(crate) fn account(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.emulators.service_account_file()).unwrap())
            .unwrap()
    }

    pub(crate) fn assertion(&self, spoil: impl FnOnce(&mut Value)) -> String {
        let account = self.account();
        let mut claims = json!({
            "iss": account["client_email"],
            "aud": account["token_uri"],
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "iat": self.now_s(),
            "exp": self.now_s() + 3600,
        });
        spoil(&mut claims);
        let header = Header {
            kid: account["private_key_id"].as_str().map(str::to_owned),
            ..Header::new(Algorithm::RS256)
        };
        let key =
            EncodingKey::from_rsa_pem(account["private_key"].as_str().unwrap().as_bytes()).unwrap();
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    pub(crate) async fn exchange(&self, grant_type: &str, assertion: &str) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", grant_type)
            .append_pair("assertion", assertion)
            .finish();
        let account = self.account();
        let request = self
            .http
            .post(account["token_uri"].as_str().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn access_token(&self) -> String {
        let answer = self
            .exchange(
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
                &self.assertion(|_| {}),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn fcm(&self, access_token: &str, body: &Value) -> Answer {
        let url = format!(
            "{}/v1/projects/{}/messages:send",
            self.emulators.url(Gateway::Fcm),
            self.account()["project_id"].as_str().unwrap()
        );
        let request = self.http.post(url).bearer_auth(access_token).json(body);
        Answer::of(request.send().await.unwrap()).await
    }

    // --- Web Push ---

    pub(crate) fn web_push(
        &self,
        subscription: &PushSubscription,
        sender: &Sender,
    ) -> reqwest::RequestBuilder {
        let body = encrypt(subscription, br#"{"notification":{"title":"hi"}}"#);
        self.http
            .post(&subscription.endpoint)
            .header("authorization", self.vapid(sender, |_| {}))
            .header("ttl", "60")
            .header("content-encoding", "aes128gcm")
            .body(body)
    }

    pub(crate) fn vapid(&self, sender: &Sender, spoil: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "aud": self.emulators.url(Gateway::WebPush),
            "exp": self.now_s() + 3600,
            "sub": "mailto:ops@example.com",
        });
        spoil(&mut claims);
        let header = Header::new(Algorithm::ES256);
        let token = jsonwebtoken::encode(&header, &claims, &sender.signing).unwrap();
        format!("vapid t={token}, k={}", sender.public)
    }
}

/// An application server and its VAPID key.
pub(crate) struct Sender {
    pub public: String,
    signing: EncodingKey,
}

impl Sender {
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            public: URL_SAFE_NO_PAD.encode(key.public_key().as_ref()),
            signing: EncodingKey::from_ec_der(key.to_pkcs8v1().unwrap().as_ref()),
        }
    }
}

/// Encrypts with another implementation than the emulator's.
pub(crate) fn encrypt(subscription: &PushSubscription, clear: &[u8]) -> Vec<u8> {
    let public = URL_SAFE_NO_PAD.decode(&subscription.keys.p256dh).unwrap();
    let auth = URL_SAFE_NO_PAD.decode(&subscription.keys.auth).unwrap();
    ece::encrypt(&public, &auth, clear).unwrap()
}

/// A client that trusts the emulators' CA and nothing else.
pub(crate) fn client(emulators: &Emulators) -> reqwest::ClientBuilder {
    let ca = std::fs::read(emulators.ca_file()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
}

/// A device token that Apple could have given.
pub(crate) fn device_token(n: usize) -> String {
    format!("{n:064x}")
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

/// Waits until `is` holds.
pub(crate) async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not come true");
}
