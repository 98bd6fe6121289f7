//! What all these tests need: emulators, an instance with devices in it, and the way to start nodes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use domain::clock::SystemClock;
use emulator::{Change, Config, Emulators, Gateway, Verdict};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::balancer::Balancer;
use crate::program::{Server, client, dry, manage, until};
use crate::receipts::Receipts;

pub(crate) const INSTANCE: &str = "9a1d2b3c-5f0f-4a55-8f0e-0d4c1b1f9a37";
pub(crate) const SECRET_KEY: &str = "A-SECRET-KEY-OF-A-TEST-THAT-IS-LONG-ENOUGH-FOR-ANYBODY";
/// 32 bytes in base64: the nodes share it as they share the database.
pub(crate) const MASTER_KEY: &str = "aGVsaW9zdGF0LWNsdXN0ZXItdGVzdC1tYXN0ZXItMDE=";
/// The interest that every device has.
pub(crate) const EVERYBODY: &str = "everybody";

/// The numbers of a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot {
    /// Half of them iPhones, half Android phones.
    pub(crate) devices: usize,
    /// Devices per page of a fan-out.
    pub(crate) page_length: usize,
    /// How long each gateway takes to answer.
    pub(crate) latency_ms: u64,
    /// How long the work of a node that says nothing more stays with it.
    pub(crate) lease_secs: u32,
}

/// Emulators, an instance, devices, a balancer, and the environment of nodes.
pub(crate) struct Stage {
    directory: TempDir,
    env: Vec<(String, String)>,
    pub(crate) emulators: Emulators,
    pub(crate) http: reqwest::Client,
    pub(crate) receipts: Receipts,
    pub(crate) balancer: Balancer,
    plot: Plot,
    /// How many nodes were started so far.
    started: AtomicUsize,
}

impl Stage {
    /// Sets everything up in the database with this URL. No node runs yet.
    pub(crate) async fn set(plot: Plot, database: &str) -> Self {
        let http = client();
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
        let own = [
            ("HELIOSTAT_DATABASE", database.to_owned()),
            ("HELIOSTAT_MASTER_KEY", MASTER_KEY.to_owned()),
            (
                "HELIOSTAT_DELIVERY_PAGE_LENGTH",
                plot.page_length.to_string(),
            ),
            ("HELIOSTAT_DELIVERY_LEASE_SECS", plot.lease_secs.to_string()),
            ("HELIOSTAT_LOG_FILTER", "info,delivery=debug".to_owned()),
            // These tests ask as often as they can.
            ("HELIOSTAT_LIMITS_PUBLISHES_PER_SECOND_MAX", "0".to_owned()),
        ];
        let env = emulators.env().iter().cloned().chain(own);
        let stage = Self {
            env: env.map(|(name, value)| (name.to_owned(), value)).collect(),
            // Each request has a connection of its own, which the balancer takes to another node.
            http: http.pool_max_idle_per_host(0).build().unwrap(),
            receipts: Receipts::of(&emulators),
            emulators,
            balancer: Balancer::start().await,
            directory,
            plot,
            started: AtomicUsize::new(0),
        };
        stage.create_instance();
        stage.import();
        stage
    }

    /// What nodes and commands are given.
    pub(crate) fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// Runs a command that manages, to its end.
    pub(crate) fn manage(&self, arguments: &[&str]) {
        manage(&self.env, arguments);
    }

    fn create_instance(&self) {
        let value = |name| self.emulators.env_value(name).unwrap();
        let create = ["instance", "create", "--name", "cluster", "--id", INSTANCE];
        self.manage(&[&create[..], &["--secret-key", SECRET_KEY]].concat());
        let set = |gateway| ["credential", "set", gateway, "--instance", INSTANCE];
        let key = ["--key-file", value("EMULATOR_APNS_KEY_FILE")];
        let ids = [
            "--key-id",
            value("APNS_KEY_ID"),
            "--team-id",
            value("APNS_TEAM_ID"),
        ];
        self.manage(&[&set("apns")[..], &key, &ids].concat());
        let account = value("EMULATOR_SERVICE_ACCOUNT_FILE");
        self.manage(&[&set("fcm")[..], &["--service-account", account]].concat());
    }

    fn import(&self) {
        let lines: String = (0..self.plot.devices).map(line).collect();
        let file = self.directory.path().join("devices.ndjson");
        std::fs::write(&file, lines).unwrap();
        let file = file.to_str().unwrap();
        self.manage(&["import", "devices", "--instance", INSTANCE, file]);
    }

    /// Starts a node and puts it in a place behind the balancer.
    pub(crate) async fn node(&self, place: usize) -> Server {
        self.node_with(place, &[]).await
    }

    /// A node with settings of its own.
    pub(crate) async fn node_with(&self, place: usize, settings: &[(&str, &str)]) -> Server {
        let own = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env: Vec<_> = self.env.iter().cloned().chain(own).collect();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.directory.path().join(format!("node-{number}.log"));
        let node = Server::start(&env, &log, &self.http).await;
        self.balancer.put(place, &node.url);
        node
    }

    /// As many nodes.
    pub(crate) async fn nodes<const COUNT: usize>(&self) -> [Server; COUNT] {
        let mut nodes = Vec::new();
        for place in 0..COUNT {
            nodes.push(self.node(place).await);
        }
        nodes.try_into().unwrap_or_else(|_| unreachable!())
    }

    /// Publishes all the time from so many places at once, until told to stop.
    pub(crate) fn callers(self: &Arc<Self>, count: usize) -> Callers {
        let done = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (stage, done) = (Arc::clone(self), Arc::clone(&done));
            tasks.spawn(async move {
                let mut answered = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let answer = stage.publish().await;
                    answered
                        .push(answer.expect("a request that the balancer may repeat is answered"));
                }
                answered
            });
        }
        Callers { done, tasks }
    }

    /// Publishes to everybody through the balancer. The publish's id if it was answered 200.
    pub(crate) fn publish(&self) -> impl Future<Output = Option<String>> + Send + 'static {
        let answer = self.publish_at(&self.balancer.url);
        async move { published(answer.await).await }
    }

    /// The same, under this `traceparent`.
    pub(crate) async fn publish_under(&self, traceparent: &str) -> Option<String> {
        let request = self.request_at(&self.balancer.url);
        let answer = request.header("traceparent", traceparent).send().await;
        published(answer).await
    }

    /// Publishes to everybody at a node. Whoever asks twice with the same key gets one publish.
    pub(crate) fn publish_at(
        &self,
        url: &str,
    ) -> impl Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static {
        self.request_at(url).send()
    }

    fn request_at(&self, url: &str) -> reqwest::RequestBuilder {
        let body = json!({
            "interests": [EVERYBODY],
            "apns": { "aps": { "alert": "Hello" } },
            "fcm": { "notification": { "title": "Hello" } },
        });
        let url = format!("{url}/publish_api/v1/instances/{INSTANCE}/publishes/interests");
        let key = rand::random::<u128>().to_string();
        let request = self.http.post(url).bearer_auth(SECRET_KEY);
        request.header("idempotency-key", key).json(&body)
    }

    /// What the cluster tells of a publish.
    pub(crate) async fn report(&self, publish: &str) -> Value {
        let base = &self.balancer.url;
        let url = format!("{base}/publish_api/v1/instances/{INSTANCE}/publishes/{publish}");
        until("a report of a publish", async || {
            let answer = self.http.get(&url).bearer_auth(SECRET_KEY).send().await;
            answer.ok()?.error_for_status().ok()?.json().await.ok()
        })
        .await
    }

    /// Waits until these publishes are finished, and all that arrived is entered.
    pub(crate) async fn finished(&self, publishes: &[String]) {
        for publish in publishes {
            until("a publish to be finished", async || {
                let report = self.report(publish).await;
                (report["state"] == "finished").then_some(())
            })
            .await;
        }
        self.entered().await;
    }

    /// Waits until nothing is left to deliver.
    pub(crate) async fn settled(&self) {
        dry(&self.http, &self.balancer.url).await;
        self.entered().await;
    }

    /// What the emulators have counted reaches the receipts by a channel.
    async fn entered(&self) {
        until("all receipts to be entered", async || {
            let accepted: u64 = [Gateway::Apns, Gateway::Fcm]
                .map(|gateway| self.emulators.total(gateway, Verdict::Accepted))
                .iter()
                .sum();
            (self.receipts.copies() as u64 == accepted).then_some(())
        })
        .await;
    }

    /// Waits until so many more notifications have arrived.
    pub(crate) async fn arrive(&self, more: usize) {
        let enough = self.receipts.copies() + more;
        until("some of the fan-out", async || {
            (self.receipts.copies() >= enough).then_some(())
        })
        .await;
    }

    /// Looks at finished publishes: each reached every device, is tallied once for each, and was repeated by at most a page for
    /// each time that it was taken over: from a node that died, as many as there can have been, or from one that says so.
    pub(crate) async fn judge(&self, answered: &[String], deaths_max: usize) {
        let devices = self.plot.devices;
        let logs = self.logs();
        for publish in answered {
            assert_eq!(
                self.receipts.devices(publish),
                devices,
                "{publish} was answered 200"
            );
            let report = self.report(publish).await;
            let tallied: u64 = report["tallies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tally| tally["count"].as_u64().unwrap())
                .sum();
            assert_eq!(
                tallied, devices as u64,
                "{publish} is settled once: {report}"
            );
        }
        // What was not answered may have been stored or not; but half a publish there is not.
        let all: HashSet<String> = self.receipts.publishes().into_iter().collect();
        for publish in &all {
            assert_eq!(
                self.receipts.devices(publish),
                devices,
                "{publish} was stored"
            );
            let told = logs
                .iter()
                .filter(|line| line.contains("lost") && line.contains(publish.as_str()));
            let taken_over = deaths_max + told.count();
            let repeated = self.receipts.repeated(publish);
            assert!(
                repeated <= taken_over * self.plot.page_length,
                "{publish}: {repeated} were repeated, and it was taken over {taken_over} times at most"
            );
        }
        println!(
            "{} publishes answered, {} stored, {} of {} copies repeated",
            answered.len(),
            all.len(),
            all.iter()
                .map(|publish| self.receipts.repeated(publish))
                .sum::<usize>(),
            self.receipts.copies()
        );
    }

    /// All lines that nodes have logged.
    fn logs(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        let logs = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        let texts = logs.map(|path| std::fs::read_to_string(path).unwrap());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    pub(crate) async fn strike(self) {
        self.emulators.stop().await;
    }
}

/// The id of a publish that was answered 200.
async fn published(answer: reqwest::Result<reqwest::Response>) -> Option<String> {
    let body: Value = answer.ok()?.error_for_status().ok()?.json().await.ok()?;
    Some(body["publishId"].as_str().unwrap().to_owned())
}

/// A device as `heliostat import` reads it.
fn line(number: usize) -> String {
    let device = if number.is_multiple_of(2) {
        let token = format!("{number:064x}");
        json!({"platform": "apns", "token": token, "bundleIdentifier": "org.example.app", "interests": [EVERYBODY]})
    } else {
        json!({"platform": "fcm", "token": format!("android-{number}"), "interests": [EVERYBODY]})
    };
    format!("{device}\n")
}

/// Those who publish all the time.
pub(crate) struct Callers {
    done: Arc<AtomicBool>,
    tasks: JoinSet<Vec<String>>,
}

impl Callers {
    /// Lets them end; the publishes that were answered.
    pub(crate) async fn end(self) -> Vec<String> {
        self.done.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.concat()
    }
}
