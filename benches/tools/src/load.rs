//! Requests over keep-alive connections in a closed loop.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::http1::Client;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// GET /healthz.
    Healthz,
    /// A publish to one user, taking turns.
    PublishUser,
    /// A device registers, is bound to a user of its own, and sets three interests: three requests.
    Register,
    /// A device reports that it got a publish, or that it was opened; every fifth repeats the report before.
    Report,
}

/// Makes load.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Load {
    /// What to ask for.
    what: What,
    /// The server: address and port.
    #[arg(long)]
    server: String,
    /// How many connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// For how long.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The instance's id.
    #[arg(long, default_value = "")]
    instance: String,
    /// The instance's secret key.
    #[arg(long, default_value = "")]
    secret_key: String,
    /// How many users there are: user-0, user-1, ...
    #[arg(long, default_value_t = 1)]
    users: usize,
    /// The publish body's part behind the users.
    #[arg(long, default_value = "{}")]
    payloads: String,
    /// Told apart in gateway tokens and user ids from other runs on the same database.
    #[arg(long, default_value_t = 0)]
    run: u32,
    /// A file with the ids of the devices that report, one a line.
    #[arg(long)]
    devices: Option<std::path::PathBuf>,
    /// The ids of the publishes that they report on.
    #[arg(long, value_delimiter = ',')]
    publishes: Vec<String>,
    #[arg(skip)]
    reporters: Vec<String>,
}

impl Load {
    pub(crate) async fn run(mut self) -> Result<()> {
        if let Some(file) = &self.devices {
            let ids = std::fs::read_to_string(file).context("reading the devices' ids")?;
            self.reporters = ids.lines().map(str::to_owned).collect();
        }
        let (next, load) = (Rc::new(Cell::new(0_usize)), Rc::new(self));
        let mut clients = Vec::new();
        for _ in 0..load.connections {
            clients.push(Client::connect(&load.server).await?);
        }
        let began = Instant::now();
        let until = began + Duration::from_secs_f64(load.seconds);
        let mut workers = tokio::task::JoinSet::new();
        for mut client in clients {
            let (next, load) = (Rc::clone(&next), Rc::clone(&load));
            workers.spawn_local(async move {
                let mut done = 0_usize;
                while Instant::now() < until {
                    let number = next.replace(next.get() + 1);
                    load.one(&mut client, number).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
        }
        let mut done = 0;
        while let Some(worker) = workers.join_next().await {
            done += worker??;
        }
        println!(
            "{}",
            json!({"done": done, "seconds": began.elapsed().as_secs_f64()})
        );
        Ok(())
    }

    async fn one(&self, client: &mut Client, number: usize) -> Result<()> {
        match self.what {
            What::Healthz => expect(client.send("GET", "/healthz", None, None).await?),
            What::PublishUser => {
                let path = format!(
                    "/publish_api/v1/instances/{}/publishes/users",
                    self.instance
                );
                let user = number % self.users;
                let body = format!(
                    r#"{{"users":["user-{user}"],{}"#,
                    self.payloads.trim_start_matches('{')
                );
                expect(
                    client
                        .send("POST", &path, Some(&self.secret_key), Some(&body))
                        .await?,
                )
            }
            What::Register => self.register(client, number).await,
            What::Report => self.report(client, number).await,
        }
    }

    async fn report(&self, client: &mut Client, number: usize) -> Result<()> {
        // Numbers that end in 4 or 9 repeat the one before; the others are reports of their own, without a gap.
        let own = if number % 5 == 4 { number - 1 } else { number };
        let own = own - own / 5;
        let (round, device) = (own / self.reporters.len(), own % self.reporters.len());
        let publish = self.publishes.get(round / 2).context("no publish is left to report on")?;
        let event = if round % 2 == 0 { "Delivery" } else { "Open" };
        let path = format!("/reporting_api/v2/instances/{}/events", self.instance);
        let body = format!(
            r#"{{"event":"{event}","publishId":"{publish}","deviceId":"{}","timestampSecs":1767225600}}"#,
            self.reporters[device]
        );
        expect(client.send("POST", &path, None, Some(&body)).await?)
    }

    async fn register(&self, client: &mut Client, number: usize) -> Result<()> {
        let devices = format!("/device_api/v1/instances/{}/devices/apns", self.instance);
        let body = format!(
            r#"{{"token":"{:032x}{number:032x}","bundleIdentifier":"com.example.app","metadata":{{"sdkVersion":"4.0.1"}}}}"#,
            u128::from(self.run) << 64
        );
        let (status, answer) = client.send("POST", &devices, None, Some(&body)).await?;
        if status != 200 {
            bail!("registering: {status} {}", String::from_utf8_lossy(answer));
        }
        let answer: serde_json::Value = serde_json::from_slice(answer)?;
        let id = answer["id"].as_str().context("no id")?;
        let token = self.beams_token(&format!("registered-{}-{number}", self.run))?;
        expect(
            client
                .send("PUT", &format!("{devices}/{id}/user"), Some(&token), None)
                .await?,
        )?;
        let interests = format!(
            r#"{{"interests":["news","city-{}","team-{}"]}}"#,
            number % 1000,
            number % 32
        );
        expect(
            client
                .send(
                    "PUT",
                    &format!("{devices}/{id}/interests"),
                    None,
                    Some(&interests),
                )
                .await?,
        )
    }

    fn beams_token(&self, user: &str) -> Result<String> {
        let expires = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_secs()
            + 3600;
        let issuer = format!("https://{}.pushnotifications.pusher.com", self.instance);
        let claims = json!({"sub": user, "iss": issuer, "exp": expires}).to_string();
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret_key.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}

fn expect((status, answer): (u16, &[u8])) -> Result<()> {
    match status {
        200..=299 => Ok(()),
        _ => bail!("{status} {}", String::from_utf8_lossy(answer)),
    }
}
