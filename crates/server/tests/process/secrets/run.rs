//! A run with everything in it that is secret: keys, credentials, tokens of devices on all gateways, webhooks, people who manage,
//! deliveries that arrive and that fail, and mistakes with secrets in all the wrong places.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::clock::SystemClock;
use domain::seal::{Keyring, MasterKey, Sealed};
use emulator::{Behaviour, Config, Emulators, Gateway};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use store::Store as _;
use store::sealing::{SealedKind, SealedPlace, Sealing as _};
use store::sqlite::{SqliteSettings, SqliteStore};
use tempfile::TempDir;

use super::haystack::{Haystack, Needle, Where};
use crate::program::{Server, dry, heliostat};

/// How many secrets there are in a run.
pub(crate) const SECRETS: usize = 21;
pub(super) const INSTANCE: &str = "3f1d2b3c-5f0f-4a55-8f0e-0d4c1b1f9a37";
pub(super) const SECRET_KEY: &str = "QkV6nE8vTzYw1mJxR5cLhU3sA0pDgF7i";
const APNS_TOKEN: &str = "5ec4e70000112233445566778899aabbccddeeff00112233445566778899aabb";
const DEAD_TOKEN: &str = "dead4e70000112233445566778899aabbccddeeff00112233445566778899aab";
pub(super) const FCM_TOKEN: &str = "fcm-registration:APA91bSecretOfAnAndroidPhone-4711_x";
pub(super) const WEBHOOK_SECRET: &str = "whsec_c2VjcmV0LW9mLWEtd2ViaG9vay0yNC1ieXRlcw==";
const HOOK_PASSWORD: &str = "hook-pass-77Zq9";
const PAYLOAD: &str = "payload-Tr3asure-title";
pub(super) const USER: &str = "user-of-a-secret-life";
const EVERYWHERE: &[Where] = &Where::ALL;
/// In the clear in the database by design, and nowhere else.
const NOT_TOLD: &[Where] = &[Where::Written, Where::Shown];
/// Also for whoever manages.
const NOT_WRITTEN: &[Where] = &[Where::Written];

pub(crate) struct Run<'a> {
    folder: TempDir,
    pub(super) env: Vec<(String, String)>,
    emulators: Emulators,
    pub(super) http: &'a reqwest::Client,
    pub(super) server: Server,
    pub(super) heap: Haystack,
    needles: Vec<Needle>,
    pub(super) admin_token: String,
    /// What the sign-in page is asked for with a link.
    pub(super) sign_in_code: String,
    pub(super) beams_token: String,
    pub(super) device: String,
    master: Keyring,
}

impl<'a> Run<'a> {
    pub(crate) async fn begin(http: &'a reqwest::Client) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::local(folder.path().join("emulators"));
        let emulators = emulator::start(config, Arc::new(SystemClock))
            .await
            .unwrap();
        let master_key = MasterKey::random().to_base64().to_string();
        let database = format!("sqlite:{}", folder.path().join("heliostat.db").display());
        let own = [
            ("HELIOSTAT_DATABASE", database.as_str()),
            ("HELIOSTAT_MASTER_KEY", &master_key),
            ("HELIOSTAT_LOG_FILTER", "trace"),
            ("HELIOSTAT_LOG_CLIENT_ADDRESSES", "true"),
            ("RUST_BACKTRACE", "full"),
        ];
        let given = emulators.env().iter().map(|(n, v)| (*n, v.as_str()));
        let env: Vec<_> = given
            .chain(own)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let raw = STANDARD.decode(&master_key).unwrap();
        let mut run = Self {
            server: Self::prepare(&folder, &env, &emulators, http).await,
            http,
            heap: Haystack::default(),
            needles: vec![
                Needle::new("master key", &raw, EVERYWHERE),
                Needle::new("master key as text", master_key.as_bytes(), EVERYWHERE),
                Needle::new("secret key", SECRET_KEY.as_bytes(), EVERYWHERE),
                Needle::new("webhook secret", WEBHOOK_SECRET.as_bytes(), EVERYWHERE),
                Needle::new(
                    "password of a webhook",
                    HOOK_PASSWORD.as_bytes(),
                    EVERYWHERE,
                ),
                Needle::new("APNs token", APNS_TOKEN.as_bytes(), NOT_TOLD),
                Needle::new("dead APNs token", DEAD_TOKEN.as_bytes(), NOT_TOLD),
                Needle::new("FCM token", FCM_TOKEN.as_bytes(), NOT_TOLD),
                Needle::new("payload", PAYLOAD.as_bytes(), NOT_WRITTEN),
                Needle::new("user", USER.as_bytes(), NOT_WRITTEN),
            ],
            admin_token: String::new(),
            sign_in_code: String::new(),
            beams_token: String::new(),
            device: String::new(),
            master: Keyring::from_base64(&master_key).unwrap(),
            folder,
            env,
            emulators,
        };
        run.keys();
        run
    }

    /// The instance and its credentials, and a server.
    async fn prepare(
        folder: &TempDir,
        env: &[(String, String)],
        emulators: &Emulators,
        http: &reqwest::Client,
    ) -> Server {
        let value = |name| emulators.env_value(name).unwrap();
        let create = ["instance", "create", "--name", "shop", "--id", INSTANCE];
        let key = ["--secret-key", SECRET_KEY];
        crate::program::manage(env, &[&create[..], &key].concat());
        let set = |gateway| ["credential", "set", gateway, "--instance", INSTANCE];
        let apns = [
            "--key-file",
            value("EMULATOR_APNS_KEY_FILE"),
            "--key-id",
            value("APNS_KEY_ID"),
            "--team-id",
            value("APNS_TEAM_ID"),
        ];
        crate::program::manage(env, &[&set("apns")[..], &apns].concat());
        let fcm = ["--service-account", value("EMULATOR_SERVICE_ACCOUNT_FILE")];
        crate::program::manage(env, &[&set("fcm")[..], &fcm].concat());
        Server::start(env, &folder.path().join("server.log"), http).await
    }

    /// What the files of Apple and Google have, and the tokens of a person who manages and of a user.
    fn keys(&mut self) {
        let file = |name| std::fs::read_to_string(self.emulators.env_value(name).unwrap()).unwrap();
        let body = |pem: &str| {
            let lines = pem.lines().filter(|line| !line.starts_with("-----"));
            STANDARD.decode(lines.collect::<String>()).unwrap()
        };
        let apns = scalar(&body(&file("EMULATOR_APNS_KEY_FILE")));
        let account: Value = serde_json::from_str(&file("EMULATOR_SERVICE_ACCOUNT_FILE")).unwrap();
        let pem = account["private_key"].as_str().unwrap();
        let line = pem.lines().nth(8).unwrap().to_owned();
        // From the middle of it: its beginning is the same in all keys.
        let rsa = body(pem)[400..440].to_vec();
        self.needles.extend([
            Needle::new("APNs key", &apns, EVERYWHERE),
            Needle::new("FCM key", &rsa, EVERYWHERE),
            Needle::new("FCM key as text", line.as_bytes(), EVERYWHERE),
        ]);
        let token = heliostat(&self.env)
            .args(["admin-token", "create", "--name", "me", "--json"])
            .output()
            .unwrap();
        let token: Value = serde_json::from_slice(&token.stdout).unwrap();
        self.admin_token = token["token"].as_str().unwrap().to_owned();
        let link = heliostat(&self.env)
            .args(["admin-token", "link", "--name", "me", "--json"])
            .output()
            .unwrap();
        let link: Value = serde_json::from_slice(&link.stdout).unwrap();
        let (_, code) = link["url"].as_str().unwrap().split_once("link=").unwrap();
        self.sign_in_code = code.to_owned();
        let token = heliostat(&self.env)
            .args(["token", "--instance", INSTANCE, USER])
            .output()
            .unwrap();
        self.beams_token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
        let signature = self.beams_token.rsplit('.').next().unwrap();
        self.needles.extend([
            Needle::new("admin token", self.admin_token.as_bytes(), EVERYWHERE),
            Needle::new("sign-in code", self.sign_in_code.as_bytes(), EVERYWHERE),
            Needle::new("Beams token", signature.as_bytes(), EVERYWHERE),
        ]);
    }

    /// Runs a command and keeps what it says.
    pub(crate) fn command(&mut self, words: &[&str]) -> String {
        let output = heliostat(&self.env).args(words).output().unwrap();
        let name = format!("heliostat {words:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        self.heap.add(Where::Written, name.clone(), output.stdout);
        self.heap.add(Where::Written, name, output.stderr);
        said
    }

    /// The help of a command, and of all that it lists. How many they were.
    pub(crate) fn help(&mut self, command: &mut Vec<String>) -> usize {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let said = self.command(&words);
        let listed = said.lines().skip_while(|line| *line != "Commands:").skip(1);
        let mut count = 1;
        for line in listed.take_while(|line| !line.is_empty()) {
            // What goes on from the line before stands further in.
            let name = line
                .strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '));
            if let Some(name) = name.and_then(|rest| rest.split_whitespace().next())
                && name != "help"
            {
                command.push(name.to_owned());
                count += self.help(command);
                command.pop();
            }
        }
        count
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.server.url))
    }

    /// Sends a request and keeps what is answered, the headers too. Status and body.
    pub(super) async fn send(&mut self, place: Where, request: RequestBuilder) -> (u16, String) {
        let request = request.build().unwrap();
        let name = format!("{} {}", request.method(), request.url().path());
        let answer = self.http.execute(request).await.unwrap();
        let status = answer.status().as_u16();
        let headers = format!("{:?}", answer.headers());
        let body = answer.text().await.unwrap();
        let said = format!("{headers}\n{body}");
        self.heap.add(place, format!("{name} {status}"), said);
        (status, body)
    }

    async fn register(&mut self, platform: &str, body: &Value) -> String {
        let path = format!("/device_api/v1/instances/{INSTANCE}/devices/{platform}");
        let request = self.request(Method::POST, &path).json(body);
        let (status, body) = self.send(Where::Written, request).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        format!("{path}/{}", answer["id"].as_str().unwrap())
    }

    /// Registers, binds and subscribes.
    pub(crate) async fn devices(&mut self) {
        let subscription = self.emulators.create_subscription(None).unwrap();
        let endpoint = subscription.endpoint.rsplit('/').next().unwrap();
        self.needles.extend([
            Needle::new("Web Push endpoint", endpoint.as_bytes(), NOT_TOLD),
            Needle::new(
                "Web Push secret",
                subscription.keys.auth.as_bytes(),
                NOT_TOLD,
            ),
        ]);
        let web = STANDARD.encode(serde_json::to_vec(&subscription).unwrap());
        let tokens = [
            (
                "apns",
                json!({"token": APNS_TOKEN, "bundleIdentifier": "org.example.app"}),
            ),
            (
                "apns",
                json!({"token": DEAD_TOKEN, "bundleIdentifier": "org.example.app"}),
            ),
            (
                "fcm",
                json!({"token": FCM_TOKEN, "knownPreviousClientIds": []}),
            ),
            ("web", json!({"token": web})),
        ];
        for (platform, body) in tokens {
            let device = self.register(platform, &body).await;
            let bind = self
                .request(Method::PUT, &format!("{device}/user"))
                .bearer_auth(&self.beams_token);
            let (status, said) = self.send(Where::Written, bind).await;
            assert_eq!(status, 200, "{said}");
            let subscribe = self.request(Method::POST, &format!("{device}/interests/news"));
            self.send(Where::Written, subscribe).await;
            self.device = device;
        }
    }

    /// Deliveries that arrive, fail and are tried again, and a webhook that never takes what it is told.
    pub(crate) async fn publishes(&mut self) {
        let path = format!("/admin_api/v1/instances/{INSTANCE}/webhooks");
        let hook = json!({
            "url": format!("http://u:{HOOK_PASSWORD}@127.0.0.1:9/hook"),
            "secret": WEBHOOK_SECRET,
        });
        let add = self
            .request(Method::POST, &path)
            .bearer_auth(&self.admin_token)
            .json(&hook);
        // A URL with a password in it is refused; the secret is accepted without.
        let (status, body) = self.send(Where::Written, add).await;
        assert_eq!(status, 400, "{body}");
        let hook = json!({"url": "http://127.0.0.1:9/hook", "secret": WEBHOOK_SECRET});
        let add = self
            .request(Method::POST, &path)
            .bearer_auth(&self.admin_token)
            .json(&hook)
            .build()
            .unwrap();
        // The only answer that has the secret.
        assert_eq!(self.http.execute(add).await.unwrap().status(), 200);
        let dead = Behaviour::Dead { timestamp_ms: None };
        let fails = Behaviour::ServerError {
            status: Some(503),
            retry_after_s: None,
        };
        let emulators = &self.emulators;
        emulators
            .set_behaviour(Gateway::Apns, Some(DEAD_TOKEN), dead)
            .unwrap();
        emulators
            .set_behaviour_times(Gateway::Fcm, Some(FCM_TOKEN), fails, 1)
            .unwrap();
        for (kind, of) in [("interests", "news"), ("users", USER)] {
            let body = json!({
                kind: [of],
                "webhookUrl": format!("http://u:{HOOK_PASSWORD}@127.0.0.1:9/own"),
                "apns": {"aps": {"alert": PAYLOAD}},
                "fcm": {"notification": {"title": PAYLOAD}},
                "web": {"notification": {"title": PAYLOAD}},
            });
            let path = format!("/publish_api/v1/instances/{INSTANCE}/publishes/{kind}");
            let publish = self.request(Method::POST, &path).bearer_auth(SECRET_KEY);
            let (status, body) = self.send(Where::Written, publish.json(&body)).await;
            assert_eq!(status, 200, "{body}");
        }
        dry(self.http, &self.server.url).await;
        assert!(
            self.emulators
                .total(Gateway::WebPush, emulator::Verdict::Accepted)
                > 0
        );
    }

    /// Stops everything, and gathers what is left: the log, the database, and the secrets that only it had.
    pub(crate) async fn end(mut self) -> (Haystack, Vec<Needle>) {
        self.server.terminate();
        let log = self.folder.path().join("server.log");
        assert!(self.server.end().await.success());
        self.heap
            .add(Where::Written, "the log", std::fs::read(log).unwrap());
        let database = self.folder.path().join("heliostat.db");
        let store = SqliteStore::open(&database, SqliteSettings::default())
            .await
            .unwrap();
        let vapid = store
            .sealed_page(SealedKind::VapidKeys, None, 1)
            .await
            .unwrap();
        let context = format!("instance/{INSTANCE}/vapid");
        let vapid = scalar(&opened(&self.master, &context, &vapid[0].sealed));
        let tokens = store
            .sealed_page(SealedKind::ProviderTokens, None, 10)
            .await
            .unwrap();
        assert_eq!(tokens.len(), 2, "one for Apple, one for Google");
        for token in tokens {
            let SealedPlace::ProviderToken(name) = token.place else {
                panic!("{:?}", token.place);
            };
            // Behind its times.
            let text = opened(
                &self.master,
                &format!("provider-token/{name}"),
                &token.sealed,
            )[16..]
                .to_vec();
            let end = text[text.len() - 40..].to_vec();
            self.needles
                .push(Needle::new("provider token", &end, EVERYWHERE));
        }
        store.close().await;
        self.needles
            .push(Needle::new("VAPID key", &vapid, EVERYWHERE));
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("heliostat.db") {
                self.heap
                    .add(Where::Kept, name, std::fs::read(&path).unwrap());
            }
        }
        self.emulators.stop().await;
        (self.heap, self.needles)
    }
}

fn opened(master: &Keyring, context: &str, sealed: &Sealed) -> Vec<u8> {
    master.open(context, sealed).unwrap().to_vec()
}

/// The private number in a PKCS#8 document of a P-256 key.
fn scalar(der: &[u8]) -> Vec<u8> {
    // An OCTET STRING of 32 bytes, behind the version.
    let at = memchr::memmem::find(der, &[2, 1, 1, 4, 32]).unwrap();
    der[at + 5..at + 37].to_vec()
}
