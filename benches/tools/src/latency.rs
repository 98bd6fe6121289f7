//! From the request of a publish to the gateway seeing it, by one clock: this process is publisher and gateway.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::gateway::Listen;
use crate::http1::Client;

/// A publish that does not arrive by then never will.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// How many deliveries of the large publish have to have come before it counts as running.
const RUNNING_FROM: u64 = 5000;

/// Measures how long publishes take.
#[derive(Debug, clap::Args)]
pub(crate) struct Latency {
    #[command(flatten)]
    listen: Listen,
    /// The server: address and port.
    #[arg(long)]
    server: String,
    /// The instance's id.
    #[arg(long)]
    instance: String,
    /// The instance's secret key.
    #[arg(long)]
    secret_key: String,
    /// How the path of a delivery to the user's device ends: the gateway token.
    #[arg(long)]
    token: String,
    /// The body of a publish to the user.
    #[arg(long)]
    body: String,
    /// How many publishes.
    #[arg(long)]
    count: usize,
    /// How long to wait between them, in milliseconds.
    #[arg(long, default_value_t = 5)]
    pause_ms: u64,
    /// The body of a publish to many devices, and how many there are; publishes are measured while it runs, too.
    #[arg(long, num_args = 2)]
    beside: Vec<String>,
}

impl Latency {
    pub(crate) async fn run(&self) -> Result<()> {
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let others = Rc::new(Cell::new(0_u64));
        let (token, counter) = (self.token.clone(), Rc::clone(&others));
        let arrived = move |head: &http::request::Parts| {
            if head.uri.path().ends_with(&token) {
                // Nobody listens any more at the end.
                let _ = sender.send(Instant::now());
            } else {
                counter.set(counter.get() + 1);
            }
        };
        self.listen.start(arrived, |_, _| {}).await?;
        eprintln!("listening");
        let mut client = self.connect().await?;
        // Connections and caches are made by the first ones.
        for _ in 0..20 {
            self.one(&mut client, &mut arrivals).await?;
        }
        let mut took = Vec::new();
        for _ in 0..self.count {
            took.push(self.one(&mut client, &mut arrivals).await?);
        }
        println!("{}", json!({"what": "idle", "ms": took}));
        let [body, devices] = self.beside.as_slice() else {
            return Ok(());
        };
        self.beside(body, devices.parse()?, &others, &mut arrivals)
            .await
    }

    async fn connect(&self) -> Result<Client> {
        for _ in 0..200 {
            if let Ok(client) = Client::connect(&self.server).await {
                return Ok(client);
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the server does not listen")
    }

    async fn beside(
        &self,
        body: &str,
        devices: u64,
        others: &Cell<u64>,
        arrivals: &mut mpsc::UnboundedReceiver<Instant>,
    ) -> Result<()> {
        let mut client = self.connect().await?;
        others.set(0);
        self.post(&mut client, "interests", body).await?;
        let began = Instant::now();
        while others.get() < RUNNING_FROM.min(devices / 10) {
            sleep(Duration::from_millis(5)).await;
            if began.elapsed() > ARRIVAL_MAX {
                bail!("the large publish does not run");
            }
        }
        let (began, first) = (Instant::now(), others.get());
        let mut took = Vec::new();
        let mut last = first;
        while took.len() < self.count {
            let one = self.one(&mut client, arrivals).await?;
            // What came after the large publish had ended counts as idle.
            if others.get() >= devices {
                break;
            }
            (last, _) = (others.get(), took.push(one));
        }
        let rate = (last - first) as f64 / began.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({"what": "beside", "ms": took, "deliveriesPerSecond": rate})
        );
        Ok(())
    }

    /// Publishes once; how long it took to arrive, in milliseconds.
    async fn one(
        &self,
        client: &mut Client,
        arrivals: &mut mpsc::UnboundedReceiver<Instant>,
    ) -> Result<f64> {
        sleep(Duration::from_millis(self.pause_ms)).await;
        let began = Instant::now();
        self.post(client, "users", &self.body).await?;
        let arrived = timeout(ARRIVAL_MAX, arrivals.recv())
            .await
            .context("a publish did not arrive")?;
        let arrived = arrived.context("the gateway ended")?;
        Ok(arrived.duration_since(began).as_secs_f64() * 1000.0)
    }

    async fn post(&self, client: &mut Client, audience: &str, body: &str) -> Result<()> {
        let path = format!(
            "/publish_api/v1/instances/{}/publishes/{audience}",
            self.instance
        );
        let (status, answer) = client
            .send("POST", &path, Some(&self.secret_key), Some(body))
            .await?;
        if status != 200 {
            bail!("publishing: {status} {}", String::from_utf8_lossy(answer));
        }
        Ok(())
    }
}
