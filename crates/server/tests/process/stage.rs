//! What all these tests need: emulators, an instance, devices, and a server to kill.

use std::sync::Arc;

use domain::clock::SystemClock;
use emulator::{Behaviour, Change, Config, Emulators, Gateway};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::program::{Server, client, dry, until};
use crate::receipts::Receipts;
use crate::surroundings::Surroundings;

pub(crate) const INSTANCE: &str = "6b1d2b3c-5f0f-4a55-8f0e-0d4c1b1f9a37";
pub(crate) const SECRET_KEY: &str = "A-SECRET-KEY-OF-A-TEST-THAT-IS-LONG-ENOUGH-FOR-ANYBODY";
const REGISTERING_AT_ONCE: usize = 32;

/// Short, since a killed server's work rests for as long; long enough that a live one never loses its own.
const LEASE_SECS: u32 = 4;

/// The interest that every device has.
pub(crate) const EVERYBODY: &str = "everybody";

/// The numbers of a test.
pub(crate) struct Plot {
    /// Half of them iPhones, half Android phones.
    pub(crate) devices: usize,
    /// Devices per page of a fan-out.
    pub(crate) page_length: usize,
    /// How long each gateway takes to answer.
    pub(crate) latency_ms: u64,
    /// One device in so many is refused once a publish, for a reason that passes: its delivery comes by way of a retry.
    pub(crate) stumbling: usize,
    /// One device in so many dies with each publish and registers anew before the next, and another one in so many is always
    /// refused; 0 for none.
    pub(crate) failing: usize,
}

/// What becomes of a delivery to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Stumbles,
    Refused,
    Dies,
}

impl Plot {
    fn fate(&self, number: usize) -> Fate {
        match self.failing {
            0 => {}
            failing if number % failing == 1 => return Fate::Dies,
            failing if number % failing == 2 => return Fate::Refused,
            _ => {}
        }
        if number.is_multiple_of(self.stumbling) {
            Fate::Stumbles
        } else {
            Fate::Accepted
        }
    }

    /// How many devices have this fate.
    pub(crate) fn count(&self, fate: Fate) -> usize {
        (0..self.devices)
            .filter(|number| self.fate(*number) == fate)
            .count()
    }
}

/// How a publish was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200, with this id.
    Taken(String),
    /// With this status, and when to come again.
    Refused(u16, Option<String>),
    /// The connection broke.
    None,
}

/// Emulators, a database with an instance and devices in it, and the way to start servers on it.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    surroundings: Surroundings,
    emulators: Emulators,
    pub(crate) http: reqwest::Client,
    pub(crate) receipts: Receipts,
}

impl Stage {
    /// Sets everything up; the server that is returned has taken the registrations.
    pub(crate) async fn set(plot: &Plot) -> (Self, Server) {
        Self::set_in(plot, Surroundings::default()).await
    }

    /// The same, with the programs and the database in these surroundings.
    pub(crate) async fn set_in(plot: &Plot, mut surroundings: Surroundings) -> (Self, Server) {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::local(directory.path().join("emulators"));
        let emulators = emulator::start(config, Arc::new(SystemClock))
            .await
            .unwrap();
        let change = Change {
            latency_ms: Some(plot.latency_ms),
            ..Change::default()
        };
        for gateway in [Gateway::Apns, Gateway::Fcm] {
            emulators.change(gateway, change).unwrap();
        }
        let folder = surroundings.folder.as_deref().unwrap_or(directory.path());
        let settings = environment(&emulators, folder, plot);
        surroundings.env.extend(settings);
        let stage = Self {
            surroundings,
            http: client().build().unwrap(),
            receipts: Receipts::of(&emulators),
            emulators,
            directory,
        };
        stage.create_instance();
        let server = stage.serve().await;
        stage.register(&server, plot).await;
        (stage, server)
    }

    /// Starts a server on the same database.
    pub(crate) async fn serve(&self) -> Server {
        self.serve_as(&["serve", "--listen", "127.0.0.1:0"]).await
    }

    /// The same with other words.
    pub(crate) async fn serve_as(&self, words: &[&str]) -> Server {
        let log = self.directory.path().join("server.log");
        Server::start_as(self.command(words), &log, &self.http).await
    }

    /// Runs a command that manages, on the same database. What it printed.
    pub(crate) fn manage(&self, arguments: &[&str]) -> String {
        self.surroundings.manage(arguments)
    }

    /// Where a publish is, as the command line shows it.
    pub(crate) fn report(&self, publish: &str) -> Value {
        let show = [
            "publishes",
            "show",
            "--instance",
            INSTANCE,
            publish,
            "--json",
        ];
        serde_json::from_str(&self.manage(&show)).unwrap()
    }

    /// A command that manages, to be run.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        self.surroundings.command(arguments)
    }

    /// Where the database is, as the programs see it.
    pub(crate) fn database(&self) -> std::path::PathBuf {
        let folder = self.surroundings.folder.as_deref();
        folder.unwrap_or(self.directory.path()).join("heliostat.db")
    }

    /// A path in the stage's folder.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Servers that are started from now on have this setting, by its name in the environment.
    pub(crate) fn with_setting(&mut self, name: &str, value: impl Into<String>) {
        self.surroundings.env.push((name.to_owned(), value.into()));
    }

    fn create_instance(&self) {
        let create = [
            "instance",
            "create",
            "--name",
            "crash",
            "--id",
            INSTANCE,
            "--secret-key",
            SECRET_KEY,
        ];
        self.surroundings.manage(&create);
        self.set_credentials();
    }

    /// Sets the instance's credentials, which are tried at once then even if they were refused.
    pub(crate) fn set_credentials(&self) {
        let value = |name| self.emulators.env_value(name).unwrap();
        let key = [
            "credential",
            "set",
            "apns",
            "--instance",
            INSTANCE,
            "--key-file",
            value("EMULATOR_APNS_KEY_FILE"),
        ];
        let ids = [
            "--key-id",
            value("APNS_KEY_ID"),
            "--team-id",
            value("APNS_TEAM_ID"),
        ];
        self.surroundings.manage(&[&key[..], &ids[..]].concat());
        let account = value("EMULATOR_SERVICE_ACCOUNT_FILE");
        self.surroundings.manage(&[
            "credential",
            "set",
            "fcm",
            "--instance",
            INSTANCE,
            "--service-account",
            account,
        ]);
    }

    async fn register(&self, server: &Server, plot: &Plot) {
        let registrations = (0..plot.devices).map(|number| self.register_one(server, number));
        let registered = stream::iter(registrations)
            .buffer_unordered(REGISTERING_AT_ONCE)
            .count()
            .await;
        assert_eq!(registered, plot.devices);
        self.tell_fates(plot);
    }

    /// Tells the gateways what is to become of the next publish.
    pub(crate) fn tell_fates(&self, plot: &Plot) {
        for number in 0..plot.devices {
            let (gateway, token) = address(number);
            let (behaviour, times) = match plot.fate(number) {
                Fate::Accepted => continue,
                Fate::Stumbles => {
                    let error = Behaviour::ServerError {
                        status: Some(503),
                        retry_after_s: None,
                    };
                    (error, 1)
                }
                Fate::Refused => {
                    let reason = match gateway {
                        Gateway::Apns => "TopicDisallowed",
                        _ => "INVALID_ARGUMENT",
                    };
                    let refusal = Behaviour::Refuse {
                        reason: reason.into(),
                        status: None,
                    };
                    (refusal, u32::MAX)
                }
                Fate::Dies => (Behaviour::Dead { timestamp_ms: None }, u32::MAX),
            };
            self.emulators
                .set_behaviour_times(gateway, Some(&token), behaviour, times)
                .unwrap();
        }
    }

    /// Makes everything ready for another publish: who died is there again.
    pub(crate) async fn reset(&self, server: &Server, plot: &Plot) {
        self.tell_fates(plot);
        for number in (0..plot.devices).filter(|number| plot.fate(*number) == Fate::Dies) {
            self.register_one(server, number).await;
        }
    }

    pub(crate) async fn register_one(&self, server: &Server, number: usize) {
        let registered = self.try_register(server, number).await;
        assert_eq!(registered, 200, "device {number}");
    }

    /// Registers a device and subscribes it. The status of the first answer that is no success, or 200.
    pub(crate) async fn try_register(&self, server: &Server, number: usize) -> u16 {
        let (gateway, token) = address(number);
        let (platform, body) = match gateway {
            Gateway::Apns => {
                let body = json!({ "token": token, "bundleIdentifier": "org.example.app" });
                ("apns", body)
            }
            _ => {
                let body = json!({ "token": token, "knownPreviousClientIds": [] });
                ("fcm", body)
            }
        };
        let devices = format!(
            "{}/device_api/v1/instances/{INSTANCE}/devices/{platform}",
            server.url
        );
        let answer = self.http.post(&devices).json(&body).send().await.unwrap();
        if !answer.status().is_success() {
            return answer.status().as_u16();
        }
        let device: Value = answer.json().await.unwrap();
        let interest = format!(
            "{devices}/{}/interests/{EVERYBODY}",
            device["id"].as_str().unwrap()
        );
        let answer = self.http.post(interest).send().await.unwrap();
        answer.status().as_u16()
    }

    /// Publishes to everybody. The publish's id if it was answered 200, nothing if the connection broke.
    pub(crate) fn publish(
        &self,
        server: &Server,
    ) -> impl Future<Output = Option<String>> + Send + 'static {
        self.publish_under(server, None)
    }

    /// The same, under this `traceparent`.
    pub(crate) fn publish_under(
        &self,
        server: &Server,
        traceparent: Option<&str>,
    ) -> impl Future<Output = Option<String>> + Send + 'static {
        let asked = self.ask_under(server, traceparent);
        async move {
            match asked.await {
                Answer::Taken(publish) => Some(publish),
                Answer::None => None,
                Answer::Refused(status, _) => panic!("a publish was refused: {status}"),
            }
        }
    }

    /// Publishes to everybody, and says how that was answered.
    pub(crate) fn ask(&self, server: &Server) -> impl Future<Output = Answer> + Send + 'static {
        self.ask_under(server, None)
    }

    fn ask_under(
        &self,
        server: &Server,
        traceparent: Option<&str>,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let body = json!({
            "interests": [EVERYBODY],
            "apns": { "aps": { "alert": "Hello" } },
            "fcm": { "notification": { "title": "Hello" } },
        });
        let url = format!(
            "{}/publish_api/v1/instances/{INSTANCE}/publishes/interests",
            server.url
        );
        let mut request = self.http.post(url).bearer_auth(SECRET_KEY).json(&body);
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        async move {
            let Ok(answer) = request.send().await else {
                return Answer::None;
            };
            if !answer.status().is_success() {
                let after = answer.headers().get("retry-after");
                let after = after.map(|after| after.to_str().unwrap().to_owned());
                return Answer::Refused(answer.status().as_u16(), after);
            }
            match answer.json::<Value>().await {
                Ok(body) => Answer::Taken(body["publishId"].as_str().unwrap().to_owned()),
                Err(_) => Answer::None,
            }
        }
    }

    /// Waits until nothing is left to deliver.
    pub(crate) async fn settled(&self, server: &Server) {
        dry(&self.http, &server.url).await;
        // What the emulators have counted reaches the receipts by a channel.
        until("all receipts to be entered", async || {
            let accepted: u64 = [Gateway::Apns, Gateway::Fcm]
                .map(|gateway| self.emulators.total(gateway, emulator::Verdict::Accepted))
                .iter()
                .sum();
            (self.receipts.copies() as u64 == accepted).then_some(())
        })
        .await;
    }

    pub(crate) async fn strike(self) {
        self.emulators.stop().await;
    }
}

/// Half of the devices are iPhones.
fn address(number: usize) -> (Gateway, String) {
    if number.is_multiple_of(2) {
        (Gateway::Apns, format!("{number:064x}"))
    } else {
        (Gateway::Fcm, format!("android-{number}"))
    }
}

fn environment(
    emulators: &Emulators,
    folder: &std::path::Path,
    plot: &Plot,
) -> Vec<(String, String)> {
    let database = format!("sqlite:{}", folder.join("heliostat.db").display());
    let own = [
        ("HELIOSTAT_DATABASE", database),
        (
            "HELIOSTAT_DELIVERY_PAGE_LENGTH",
            plot.page_length.to_string(),
        ),
        // How long the work of a server that was killed stays with it.
        ("HELIOSTAT_DELIVERY_LEASE_SECS", LEASE_SECS.to_string()),
    ];
    let gateways = emulators.env().iter().cloned();
    gateways
        .chain(own)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
