//! What a webhook was told: seen, repeated, tried out.

use std::time::Duration;

use clap::Args;
use domain::instance::InstanceId;
use domain::webhook::{WebhookEvent, WebhookId};
use serde_json::json;
use server::admin::webhooks::Delivery;
use store::webhooks::{RequestReport, RequestState};
use uuid::Uuid;

use super::super::database::{Database, InstanceOption};
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::place::IfMissing;
use super::super::settings::Settings;
use super::super::table::Table;
use super::{Named, unknown, webhook_id};

/// How long a test waits for its answer, and how often it looks. A receiver has three seconds, and connecting may take as long.
const TEST_WAIT: Duration = Duration::from_secs(10);
const TEST_LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many deliveries are listed if nobody asks for another number, and at most.
const LISTED: u16 = 20;
const LISTED_MAX: i64 = 1000;

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Deliveries {
    #[command(flatten)]
    named: Named,
    /// Only those that are waiting, delivered or failed.
    #[arg(long, value_name = "STATE", value_parser = RequestState::ALL.map(RequestState::as_str))]
    state: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "NUMBER", default_value_t = LISTED, value_parser = clap::value_parser!(u16).range(1..=LISTED_MAX))]
    limit: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    instance: InstanceOption,
    /// The webhook's id.
    #[arg(value_name = "WEBHOOK", value_parser = webhook_id)]
    webhook: WebhookId,
    /// The delivery's id, as `heliostat webhook deliveries` shows it.
    #[arg(value_name = "DELIVERY")]
    delivery: Uuid,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// The newest requests of a webhook.
async fn requests(
    database: &Database,
    instance: InstanceId,
    webhook: WebhookId,
    state: Option<RequestState>,
    limit: usize,
) -> Result<Vec<RequestReport>, Failure> {
    let found = database
        .store()
        .webhook_requests(instance, webhook, state, None, limit);
    let found = found.await.map_err(|error| database.failed(&error))?;
    found.ok_or_else(|| unknown(instance, webhook))
}

/// Refuses to go on with a webhook that is not there, or disabled.
async fn check_enabled(
    database: &Database,
    instance: InstanceId,
    webhook: WebhookId,
) -> Result<(), Failure> {
    let all = database.store().webhooks(instance).await;
    let all = all.map_err(|error| database.failed(&error))?;
    let found = all.iter().find(|known| known.id == webhook);
    if found
        .ok_or_else(|| unknown(instance, webhook))?
        .disabled
        .is_some()
    {
        return Err(Failure::new(format!(
            "webhook {webhook} is disabled; enable it with `heliostat webhook enable --instance {instance} {webhook}`"
        )));
    }
    Ok(())
}

impl Test {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Named {
            instance,
            webhook,
            settings,
            output,
        } = self.named;
        Database::with(&settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(instance.id).await?.id;
            check_enabled(database, instance, webhook).await?;
            let payload = WebhookEvent::Test { instance }.payload();
            let queued = database.store().test_webhook(instance, webhook, payload);
            let queued = queued.await.map_err(|error| database.failed(&error))?;
            let request = queued.ok_or_else(|| unknown(instance, webhook))?;
            let watch = async {
                loop {
                    let found = requests(database, instance, webhook, None, 100).await?;
                    let found = found.into_iter().find(|known| known.id == request);
                    if let Some(found) = found.filter(|found| found.attempts > 0) {
                        return Ok::<_, Failure>(found);
                    }
                    tokio::time::sleep(TEST_LOOK_EVERY).await;
                }
            };
            let Ok(seen) = tokio::time::timeout(TEST_WAIT, watch).await else {
                return Err(Failure::new(format!(
                    "the test waits as delivery {request}: is the server running? `heliostat webhook deliveries` shows what becomes of it"
                )));
            };
            let seen = seen?;
            match (&seen.error, seen.status) {
                (None, status) => {
                    let status = status.unwrap_or_default();
                    let text = format!("The receiver took the test with status {status}.");
                    output.show(&json!(Delivery::of(&seen)), text)
                }
                (Some(error), _) => Err(Failure::new(format!(
                    "the receiver did not take the test ({error}); it is tried again, as delivery {request}"
                ))),
            }
        })
        .await
    }
}

impl Deliveries {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Named {
            instance,
            webhook,
            settings,
            output,
        } = self.named;
        let state = self.state.as_deref().and_then(RequestState::parse);
        Database::with(&settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(instance.id).await?.id;
            let found = requests(database, instance, webhook, state, self.limit.into()).await?;
            let mut table = Table::new(["DELIVERY", "EVENT", "STATE", "TRIES", "LAST", "ANSWER"]);
            for request in &found {
                let answer = match (&request.error, request.status) {
                    (Some(error), _) => error.clone(),
                    (None, Some(status)) => status.to_string(),
                    (None, None) => String::new(),
                };
                table.row([
                    request.id.to_string(),
                    request.event.to_string(),
                    request.state.as_str().to_owned(),
                    request.attempts.to_string(),
                    request
                        .tried_at
                        .map(|at| at.to_string())
                        .unwrap_or_default(),
                    answer,
                ]);
            }
            let json = json!(found.iter().map(Delivery::of).collect::<Vec<_>>());
            output.show(&json, table)
        })
        .await
    }
}

impl Replay {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (webhook, delivery) = (self.webhook, self.delivery);
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(self.instance.id).await?.id;
            check_enabled(database, instance, webhook).await?;
            let store = database.store();
            let replayed = store.replay_request(instance, webhook, delivery, database.now());
            if !replayed.await.map_err(|error| database.failed(&error))? {
                return Err(Failure::new(format!(
                    "webhook {webhook} has no delivery {delivery} that has ended; `heliostat webhook deliveries` shows those it has"
                )));
            }
            let json = json!({"id": delivery.to_string(), "state": "waiting"});
            self.output.show(&json, format!("Delivery {delivery} is sent once more."))
        })
        .await
    }
}
