//! A server of one's own for each test: a port that was free, a database in a folder that goes away, a clock that stands
//! still until told otherwise. The gateways' addresses lead nowhere.

mod raw;
mod reply;
mod sdk;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use domain::clock::{ManualClock, Timestamp};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use http::Method;
use server::app::App;
use server::config::{Config, Overrides};
use tempfile::TempDir;

pub(crate) use raw::{RawReply, exchange, exchange_over};
pub(crate) use reply::Reply;
pub(crate) use sdk::{android, beams_token, beams_token_of, swift, web_token};

/// When the tests take place: 2026-01-01.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A running server.
pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    client: reqwest::Client,
    folder: TempDir,
}

/// An instance of it.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) key: SecretKey,
}

impl Instance {
    /// `Bearer <secret key>`
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.key.reveal())
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with some settings of its own.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder.path().join("heliostat.db"), settings);
        let clock = Arc::new(ManualClock::new(NOW));
        let app = App::start_at(config, Arc::clone(&clock) as _)
            .await
            .unwrap();
        Self {
            app,
            clock,
            client: client(),
            folder,
        }
    }

    /// Stops it and starts another on the same database.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(&[]).await
    }

    /// The same with some settings of its own.
    pub(crate) async fn restart_with(self, settings: &[(&str, &str)]) -> Self {
        let Self {
            app,
            clock,
            client,
            folder,
        } = self;
        app.stop().await;
        let config = config(&folder.path().join("heliostat.db"), settings);
        let app = App::start_at(config, Arc::clone(&clock) as _)
            .await
            .unwrap();
        Self {
            app,
            clock,
            client,
            folder,
        }
    }

    /// Another server on the same database, at the same time.
    pub(crate) async fn beside(&self) -> Self {
        self.beside_with(&[]).await
    }

    /// The same with some settings of its own.
    pub(crate) async fn beside_with(&self, settings: &[(&str, &str)]) -> Self {
        let config = config(&self.database(), settings);
        let app = App::start_at(config, Arc::clone(&self.clock) as _)
            .await
            .unwrap();
        Self {
            app,
            clock: Arc::clone(&self.clock),
            client: client(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The file of the database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("heliostat.db")
    }

    /// The files of the database that have these bytes in them.
    pub(crate) fn files_with(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes
                .windows(text.len())
                .any(|some| some == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
        found
    }

    /// A new instance with a random id and key.
    pub(crate) async fn instance(&self) -> Instance {
        self.instance_with(InstanceId::random(), SecretKey::random())
            .await
    }

    pub(crate) async fn instance_with(&self, id: InstanceId, key: SecretKey) -> Instance {
        let name = InstanceName::parse("test").unwrap();
        let new = self.app.vault().new_instance(id, name, &key, NOW).unwrap();
        self.app.store().create_instance(new).await.unwrap();
        Instance { id, key }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// A body as JSON, with the content type that says so.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.send(Method::POST, path, &[JSON], body.to_owned())
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Reply {
        self.send(Method::PUT, path, &[JSON], body.to_owned()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let url = format!("http://{}{path}", self.app.local_addr());
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::read(request.send().await.unwrap()).await
    }

    /// Registers a device and gives its id.
    pub(crate) async fn fcm_device(&self, instance: &Instance, token: &str) -> String {
        let body = format!(r#"{{"token":"{token}"}}"#);
        let reply = self
            .post(&format!("{}/fcm", devices(instance)), &body)
            .await;
        reply.ok().json()["id"].as_str().unwrap().to_owned()
    }

    /// Binds a device to a user with a good Beams token.
    pub(crate) async fn bind(&self, instance: &Instance, device: &str, user: &str) -> Reply {
        let token = format!("Bearer {}", beams_token(instance, user));
        let path = format!("{}/user", device_path(instance, device));
        self.send(Method::PUT, &path, &[("Authorization", &token)], "")
            .await
    }
}

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// `…/devices` of an instance.
pub(crate) fn devices(instance: &Instance) -> String {
    format!("/device_api/v1/instances/{}/devices", instance.id)
}

/// `…/devices/{platform}/{id}`, the platform being what the id begins with.
pub(crate) fn device_path(instance: &Instance, device: &str) -> String {
    let platform = device.split('-').next().unwrap();
    format!("{}/{platform}/{device}", devices(instance))
}

/// A configuration with everything in one folder, and gateways where nobody listens.
pub(crate) fn config(database: &Path, settings: &[(&str, &str)]) -> Config {
    let mut others: Vec<(String, String)> = [
        ("apns.url", "https://127.0.0.1:1"),
        ("apns.sandbox_url", "https://127.0.0.1:1"),
        ("fcm.url", "https://127.0.0.1:1"),
        ("shutdown.grace_secs", "5"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    others.extend(
        settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    let overrides = Overrides {
        listen: Some("127.0.0.1:0".into()),
        database: Some(format!("sqlite:{}", database.display())),
        others,
        ..Overrides::default()
    };
    Config::load(None, &|_| None, overrides).unwrap()
}

fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
    reqwest::Client::builder().no_proxy().build().unwrap()
}
