//! What a webhook was told: seen, repeated, tried out.

use std::time::Duration;

use clap::Args;
use heliostat_client::Method;
use serde_json::Value;
use store::webhooks::RequestState;
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::place::{IfMissing, Paging, Place, list, more, text};
use super::super::table::Table;
use super::Named;

/// How long a test waits for its answer, and how often it looks. A receiver has three seconds, and connecting may take as long.
const TEST_WAIT: Duration = Duration::from_secs(10);
const TEST_LOOK_EVERY: Duration = Duration::from_millis(100);

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
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    named: Named,
    /// The delivery's id, as `heliostat webhook deliveries` shows it.
    #[arg(value_name = "DELIVERY")]
    delivery: Uuid,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    named: Named,
    /// The delivery's id, as `heliostat webhook deliveries` shows it.
    #[arg(
        value_name = "DELIVERY",
        conflicts_with = "failed",
        required_unless_present = "failed"
    )]
    delivery: Option<Uuid>,
    /// All that failed, the newest thousand of it.
    #[arg(long)]
    failed: bool,
}

/// What became of a test, once it was tried.
async fn tried(place: &Place, named: &Named, request: &str) -> Result<Value, Failure> {
    loop {
        let answer = place.get(&named.path("/deliveries?limit=100")).await?;
        let found = list(&answer, "deliveries")
            .iter()
            .find(|known| known["id"] == request)
            .filter(|known| known["attempts"].as_u64() > Some(0));
        if let Some(found) = found {
            return Ok(found.clone());
        }
        tokio::time::sleep(TEST_LOOK_EVERY).await;
    }
}

impl Test {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { named } = self;
        named
            .place
            .with(IfMissing::Refuse, async |place| {
                let queued = place.call(Method::POST, &named.path("/test"), None).await?;
                let request = text(&queued, "delivery");
                let watch = tried(place, &named, &request);
                let Ok(seen) = tokio::time::timeout(TEST_WAIT, watch).await else {
                    return Err(Failure::new(format!(
                        "the test waits as delivery {request}: is the server running? `heliostat webhook deliveries` shows what becomes of it"
                    )));
                };
                let seen = seen?;
                if let Some(error) = seen["error"].as_str() {
                    return Err(Failure::new(format!(
                        "the receiver did not take the test ({error}); it is tried again, as delivery {request}"
                    )));
                }
                let status = text(&seen, "status");
                let said = format!("The receiver took the test with status {status}.");
                named.output.show(&seen, said)
            })
            .await
    }
}

impl Deliveries {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let named = self.named;
        let filter = [("state", self.state.as_deref())];
        let path = self.paging.path(&named.path("/deliveries"), &filter);
        named
            .place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get(&path).await?;
                let columns = ["DELIVERY", "EVENT", "STATE", "TRIES", "LAST", "ANSWER"];
                let mut table = Table::new(columns);
                for delivery in list(&answer, "deliveries") {
                    let of = |key| text(delivery, key);
                    let told = if delivery["error"].is_null() {
                        of("status")
                    } else {
                        of("error")
                    };
                    table.row([
                        of("id"),
                        of("event"),
                        of("state"),
                        of("attempts"),
                        of("triedAt"),
                        told,
                    ]);
                }
                let said = format!("{table}{}", more(&answer));
                named.output.show(&answer["deliveries"], said)
            })
            .await
    }
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { named, delivery } = self;
        named
            .place
            .with(IfMissing::Refuse, async |place| {
                let found = place
                    .get(&named.path(&format!("/deliveries/{delivery}")))
                    .await?;
                let of = |key| text(&found, key);
                let mut tries = Table::new(["TRIED", "STATUS", "ERROR"]);
                for tried in list(&found, "tries") {
                    let of = |key| text(tried, key);
                    tries.row([of("at"), of("status"), of("error")]);
                }
                let said = format!(
                    "Delivery  {}\nEvent     {} {}\nState     {}\nNext try  {}\nPayload   {}\n\n{tries}",
                    of("id"),
                    of("event"),
                    of("eventId"),
                    of("state"),
                    of("dueAt"),
                    found["payload"],
                );
                named.output.show(&found, said)
            })
            .await
    }
}

impl Replay {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self {
            named, delivery, ..
        } = self;
        let path = match delivery {
            Some(delivery) => named.path(&format!("/deliveries/{delivery}/replay")),
            None => named.path("/replay-failed"),
        };
        named
            .place
            .with(IfMissing::Refuse, async |place| {
                let replayed = place.call(Method::POST, &path, None).await?;
                let said = match delivery {
                    Some(delivery) => format!("Delivery {delivery} is sent once more."),
                    None if replayed["more"] == true => format!(
                        "{} failed deliveries are sent once more, and there are more: run it again.",
                        text(&replayed, "replayed")
                    ),
                    None => format!(
                        "{} failed deliveries are sent once more.",
                        text(&replayed, "replayed")
                    ),
                };
                named.output.show(&replayed, said)
            })
            .await
    }
}
