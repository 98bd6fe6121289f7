//! `heliostat doctor`: whether this machine has what a server needs, and what is wrong if not.
//!
//! It looks at the same configuration that `serve` would, from the same place, and changes nothing but the audit log, which has
//! that credentials were checked. Everything is looked at, however much is wrong.

use std::fmt;
use std::time::Duration;

use clap::Args;
use domain::clock::{Clock as _, SystemClock, Timestamp};
use heliostat_client::Method;
use serde_json::{Value, json};
use server::config::Config;
use server::local::Local;
use url::Url;

use super::failure::Failure;
use super::output::Output;
use super::place::{is_missing, list, text};
use super::settings::Settings;
use super::table::Table;

/// How long whoever is asked may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How far the clock may be off: gateways refuse tokens from another time, and devices' Beams tokens end by it.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(60);

/// Check the configuration, the database, the credentials, the clock, and whether gateways can be reached.
///
/// Fails if anything is wrong. Every credential is shown to its gateway, with a notification to a device that there is not.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// What was found of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    /// It may be meant so, or cannot be seen from here.
    Unknown,
    Wrong,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        })
    }
}

/// All that was found, in the order in which it was looked at.
#[derive(Debug, Default)]
struct Findings(Vec<(String, State, String)>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, state: State, said: impl fmt::Display) {
        self.0.push((what.into(), state, said.to_string()));
    }

    fn wrong(&self) -> usize {
        let wrong = self.0.iter().filter(|(_, state, _)| *state == State::Wrong);
        wrong.count()
    }

    fn show(&self, output: Output) -> Result<(), Failure> {
        let mut table = Table::new(["WHAT", "STATE", "WHY"]);
        for (what, state, said) in &self.0 {
            table.row([what.clone(), state.to_string(), said.clone()]);
        }
        let of = |(what, state, said): &(String, State, String)| json!({"what": what, "state": state.to_string(), "why": said});
        let all: Vec<Value> = self.0.iter().map(of).collect();
        output.show(&json!({"checks": all, "wrong": self.wrong()}), table)
    }
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut findings = Findings::default();
        match self.settings.load() {
            Ok(config) => {
                let listen = config.listen;
                findings.add("configuration", State::Ok, format!("listens on {listen}"));
                if let Some(local) = storage(&config, &mut findings).await {
                    credentials(&local, &mut findings).await;
                    local.close().await;
                }
                reach(&config, &mut findings).await?;
            }
            Err(failure) => findings.add("configuration", State::Wrong, failure),
        }
        findings.show(self.output)?;
        match findings.wrong() {
            0 => Ok(()),
            1 => Err(Failure::new("one thing is wrong; the table says which")),
            count => Err(Failure::new(format!(
                "{count} things are wrong; the table says which"
            ))),
        }
    }
}

/// Opens the database, if there is one, and sees whether it can be read and written.
async fn storage(config: &Config, findings: &mut Findings) -> Option<Local> {
    let name = config.database.to_string();
    if is_missing(config) {
        let said = format!("there is no {name}; `heliostat instance create` makes it");
        findings.add("database", State::Wrong, said);
        return None;
    }
    let local = match Local::open(config).await {
        Ok(local) => local,
        Err(error) => {
            findings.add("database", State::Wrong, error);
            return None;
        }
    };
    match local.check().await {
        Ok(()) => findings.add("database", State::Ok, name),
        Err(error) => findings.add("database", State::Wrong, format!("{name}: {error}")),
    }
    Some(local)
}

/// Has every gateway say what it thinks of every credential. One whose secret does not open is wrong too.
async fn credentials(local: &Local, findings: &mut Findings) {
    let (status, instances) = local.call(Method::GET, "/instances", None).await;
    if status != 200 {
        return findings.add("instances", State::Wrong, text(&instances, "description"));
    }
    for instance in list(&instances, "instances") {
        let (id, name) = (text(instance, "id"), text(instance, "name"));
        for credential in list(instance, "credentials") {
            let platform = text(credential, "platform");
            let path = format!("/instances/{id}/credentials/{platform}/check");
            let (status, told) = local.call(Method::POST, &path, None).await;
            let reason = text(&told, "reason");
            let (state, said) = match told["verdict"].as_str() {
                _ if status != 200 => (State::Wrong, text(&told, "description")),
                Some("taken") => (State::Ok, text(credential, "summary")),
                Some("refused") => (State::Wrong, format!("refused: {reason}")),
                _ => (State::Unknown, format!("the gateway did not say: {reason}")),
            };
            findings.add(format!("{platform} of {name}"), state, said);
        }
    }
}

/// Sees who can be reached, and whose clock says what.
async fn reach(config: &Config, findings: &mut Findings) -> Result<(), Failure> {
    let tls = gateway::client_tls(config.outbound.extra_ca_pem.as_deref());
    let mut tls = tls.map_err(|error| Failure::new(format!("cannot set up TLS: {error}")))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| Failure::new(format!("cannot set up HTTP: {error}")))?;
    let mut clocks = Vec::new();
    let outbound = &config.outbound;
    for (name, url) in [("APNs", &outbound.apns_url), ("FCM", &outbound.fcm_url)] {
        match date(&client, url).await {
            Ok(date) => {
                findings.add(name, State::Ok, url);
                clocks.extend(date);
            }
            Err(why) => findings.add(name, State::Wrong, format!("{url}: {why}")),
        }
    }
    clock(&clocks, findings);
    if let Some(public) = &config.public_url {
        let health = Url::parse(&format!("{public}/healthz"));
        let answer = match &health {
            Ok(url) => date(&client, url).await.map(|_| ()),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(()) => findings.add("public_url", State::Ok, public),
            // The server need not run yet, and a network need not lead back into itself.
            Err(why) => findings.add("public_url", State::Unknown, format!("{public}: {why}")),
        }
    }
    Ok(())
}

/// The time by whoever answers at a URL, and ours then. Any answer is one.
async fn date(
    client: &reqwest::Client,
    url: &Url,
) -> Result<Option<(Timestamp, Timestamp)>, String> {
    let answer = client.get(url.clone()).send().await.map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.to_string()
    })?;
    let header = answer.headers().get(http::header::DATE);
    let theirs = header.and_then(|value| gateway::http_date(value.to_str().ok()?));
    Ok(theirs.map(|theirs| (theirs, SystemClock.now())))
}

/// Compares our clock with others'; that of whoever is nearest counts, since an answer takes its time.
fn clock(clocks: &[(Timestamp, Timestamp)], findings: &mut Findings) {
    let off = |(theirs, ours): &(Timestamp, Timestamp)| {
        Duration::from_millis(theirs.as_millis().abs_diff(ours.as_millis()))
    };
    match clocks.iter().map(off).min() {
        None => findings.add("clock", State::Unknown, "nobody told the time"),
        Some(off) if off > CLOCK_OFF_MAX => {
            let said = format!(
                "it is {} s off by the gateways' clocks; gateways and Beams tokens want it right",
                off.as_secs()
            );
            findings.add("clock", State::Wrong, said);
        }
        Some(_) => findings.add("clock", State::Ok, "as the gateways' clocks, to a minute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_a_minute_off() {
        let ours = Timestamp::from_secs(1_800_000_000);
        for (theirs, state) in [
            (vec![], State::Unknown),
            (vec![1_800_000_060], State::Ok),
            (vec![1_799_999_940, 1_700_000_000], State::Ok),
            (vec![1_800_000_061], State::Wrong),
            (vec![1_799_999_939], State::Wrong),
        ] {
            let clocks = theirs.iter().map(|at| (Timestamp::from_secs(*at), ours));
            let mut findings = Findings::default();
            clock(&clocks.collect::<Vec<_>>(), &mut findings);
            assert_eq!(findings.0[0].1, state, "{theirs:?}");
        }
    }
}
