//! The load of a soak: publishes, registrations and reports over keep-alive connections, at a steady rate, against a server that
//! may fail, break off and come back.
//!
//! Unlike the other loads it goes on whatever happens, and counts how each request ended, and how long publishes to one user took.
//! The ids of publishes that were acknowledged go to a file, for whoever asks afterwards whether each of them was kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::http1::Client;

/// How long to wait before a connection that broke is made again.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
/// How long an answer may take before its connection is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Of so many requests in turn, some publish to a user, some register a device, and the rest report.
const TURN: usize = 20;
const PUBLISHES: usize = 14;
const REGISTRATIONS: usize = 3;

/// Makes the load of a soak. Requests fall due whether those before them were answered or not, as they do where many people are
/// behind them: what finds no free connection waits for one and is not left out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Soak {
    /// The server: address and port.
    #[arg(long)]
    server: String,
    /// How many connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// For how long.
    #[arg(long)]
    seconds: f64,
    /// Requests per second at most; 0 for as many as are answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// The instance's id.
    #[arg(long)]
    instance: String,
    /// The instance's secret key.
    #[arg(long)]
    secret_key: String,
    /// How many users there are: user-0, user-1, ...
    #[arg(long)]
    users: usize,
    /// A fan-out after each so many seconds, to the interests in turn.
    #[arg(long, default_value_t = 5.0)]
    fanout_every: f64,
    /// Interests to publish to.
    #[arg(long)]
    interest: Vec<String>,
    /// A publish that devices report on.
    #[arg(long)]
    reported: String,
    /// The publish body's part behind the audience.
    #[arg(long)]
    payloads: String,
    /// Told apart in gateway tokens from other runs on the same database.
    #[arg(long, default_value_t = 0)]
    run: u32,
    /// Where the id of each publish that is answered 200 is added: 16 bytes each, and nothing between them.
    #[arg(long)]
    acknowledged: PathBuf,
}

/// What publishes to one user are counted as.
const PUBLISH: &str = "publish";

/// How requests ended: by what was asked and the status, or `broken`.
type Ends = BTreeMap<String, u64>;

/// How many publishes to one user took so many milliseconds until they were answered 200.
type Took = BTreeMap<u128, u64>;

struct Shared {
    load: Soak,
    began: Instant,
    until: Instant,
    next: usize,
    fanouts: usize,
    ends: Ends,
    took: Took,
    acknowledged: BufWriter<File>,
}

impl Soak {
    pub(crate) async fn run(self) -> Result<()> {
        let began = Instant::now();
        let until = began + Duration::from_secs_f64(self.seconds);
        let connections = self.connections;
        let acknowledged = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.acknowledged)
            .with_context(|| format!("cannot open {}", self.acknowledged.display()))?;
        let shared = Rc::new(RefCell::new(Shared {
            load: self,
            began,
            until,
            next: 0,
            fanouts: 0,
            ends: Ends::new(),
            took: Took::new(),
            acknowledged: BufWriter::new(acknowledged),
        }));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..connections {
            workers.spawn_local(work(Rc::clone(&shared)));
        }
        while let Some(worker) = workers.join_next().await {
            worker.context("a worker panicked")??;
        }
        let mut shared = shared.borrow_mut();
        shared.acknowledged.flush()?;
        println!(
            "{}",
            json!({"ends": shared.ends, "tookMs": shared.took, "seconds": began.elapsed().as_secs_f64()})
        );
        Ok(())
    }
}

/// A request to be made: what it is counted as, and what it is.
struct Ask {
    what: &'static str,
    path: String,
    body: String,
    secret_key: Option<String>,
    /// Whether its answer names a publish.
    publishes: bool,
}

impl Shared {
    /// The next request and when it is to be made; none when the time is over.
    fn take(&mut self) -> Option<(Ask, Instant)> {
        let now = Instant::now();
        let due = if self.load.rate > 0.0 {
            self.began + Duration::from_secs_f64(self.next as f64 / self.load.rate)
        } else {
            now
        };
        if due.max(now) >= self.until {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let fanouts_due = (now - (self.until - Duration::from_secs_f64(self.load.seconds)))
            .as_secs_f64()
            / self.load.fanout_every;
        if !self.load.interest.is_empty() && fanouts_due as usize > self.fanouts {
            self.fanouts += 1;
            return Some((self.fan_out(), due));
        }
        let ask = match number % TURN {
            turn if turn < PUBLISHES => self.publish(number),
            turn if turn < PUBLISHES + REGISTRATIONS => self.register(number),
            _ => self.report(number),
        };
        Some((ask, due))
    }

    fn publish_to(&self, what: &'static str, audience: &str, name: &str) -> Ask {
        let payloads = self.load.payloads.trim_start_matches('{');
        Ask {
            what,
            path: format!(
                "/publish_api/v1/instances/{}/publishes/{audience}",
                self.load.instance
            ),
            body: format!(r#"{{"{audience}":["{name}"],{payloads}"#),
            secret_key: Some(self.load.secret_key.clone()),
            publishes: true,
        }
    }

    fn publish(&self, number: usize) -> Ask {
        let user = format!("user-{}", number % self.load.users);
        self.publish_to(PUBLISH, "users", &user)
    }

    fn fan_out(&self) -> Ask {
        let interest = &self.load.interest[self.fanouts % self.load.interest.len()];
        self.publish_to("fanout", "interests", interest)
    }

    fn register(&self, number: usize) -> Ask {
        // Half of them register again, as an app does at every start.
        let device = number / (2 * TURN);
        Ask {
            what: "register",
            path: format!(
                "/device_api/v1/instances/{}/devices/fcm",
                self.load.instance
            ),
            body: format!(
                r#"{{"token":"soak-{}-{device}","knownPreviousClientIds":[]}}"#,
                self.load.run
            ),
            secret_key: None,
            publishes: false,
        }
    }

    fn report(&self, number: usize) -> Ask {
        let device = format!("fcm-{:08x}-0000-4000-8000-{:012x}", self.load.run, number);
        let event = json!({
            "event": if number.is_multiple_of(2) { "Delivery" } else { "Open" },
            "publishId": self.load.reported,
            "deviceId": device,
            "timestampSecs": 1,
        });
        Ask {
            what: "report",
            path: format!("/reporting_api/v2/instances/{}/events", self.load.instance),
            body: Value::to_string(&event),
            secret_key: None,
            publishes: false,
        }
    }

    /// Takes an answer. An error means that the id of a publish could not be written down.
    fn answered(
        &mut self,
        ask: &Ask,
        took: Duration,
        status: u16,
        body: &[u8],
    ) -> std::io::Result<()> {
        if status == 200 && ask.publishes {
            let Some(id) = publish_id(body) else {
                self.ended(ask.what, "200 without an id");
                return Ok(());
            };
            self.acknowledged.write_all(&id)?;
            if ask.what == PUBLISH {
                *self.took.entry(took.as_millis()).or_default() += 1;
            }
        }
        self.ended(ask.what, &status.to_string());
        Ok(())
    }

    fn ended(&mut self, what: &str, how: &str) {
        *self.ends.entry(format!("{what} {how}")).or_default() += 1;
    }
}

/// The id of a publish from the answer to it: `{"publishId":"pubid-<UUID>"}`.
fn publish_id(body: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(r#""publishId":"pubid-"#)?;
    let (id, _) = rest.split_once('"')?;
    let mut digits = 0;
    let number =
        id.chars()
            .filter(|letter| *letter != '-')
            .try_fold(0_u128, |number, letter| {
                digits += 1;
                Some((number << 4) | u128::from(letter.to_digit(16)?))
            })?;
    (digits == 32).then(|| number.to_be_bytes())
}

async fn work(shared: Rc<RefCell<Shared>>) -> Result<()> {
    let server = shared.borrow().load.server.clone();
    let mut client = None;
    loop {
        let Some((ask, due)) = shared.borrow_mut().take() else {
            return Ok(());
        };
        tokio::time::sleep_until(due.into()).await;
        if client.is_none() {
            client = Client::connect(&server).await.ok();
        }
        let Some(connected) = &mut client else {
            shared.borrow_mut().ended(ask.what, "unconnected");
            tokio::time::sleep(RECONNECT_AFTER).await;
            continue;
        };
        let began = Instant::now();
        let sent = connected.send(
            "POST",
            &ask.path,
            ask.secret_key.as_deref(),
            Some(&ask.body),
        );
        match tokio::time::timeout(ANSWER_WITHIN, sent).await {
            Ok(Ok((status, body))) => {
                let mut shared = shared.borrow_mut();
                let kept = shared.answered(&ask, began.elapsed(), status, body);
                kept.context("cannot write down what was acknowledged")?;
            }
            _ => {
                shared.borrow_mut().ended(ask.what, "broken");
                client = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_read_from_its_answer() {
        let id = publish_id(br#"{"publishId":"pubid-00112233-4455-6677-8899-aabbccddeeff"}"#);
        let bytes: Vec<u8> = (0..16).map(|digit| digit * 0x11).collect();
        assert_eq!(id.map(Vec::from), Some(bytes));
    }

    #[test]
    fn what_is_no_publish_is_told_so() {
        for body in [
            "",
            "{}",
            r#"{"publishId":"pubid-"}"#,
            r#"{"publishId":"pubid-00112233-4455-6677-8899-aabbccddee"}"#,
            r#"{"publishId":"pubid-00112233-4455-6677-8899-aabbccddeefff"}"#,
            r#"{"publishId":"pubid-0011223x-4455-6677-8899-aabbccddeeff"}"#,
        ] {
            assert_eq!(publish_id(body.as_bytes()), None, "{body}");
        }
    }
}
