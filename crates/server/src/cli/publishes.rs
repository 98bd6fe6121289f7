//! `heliostat publishes`: what was published, and what becomes of it.

use clap::{Args, Subcommand};
use heliostat_client::{AdminClient, Method};
use serde_json::Value;

use super::database::InstanceOption;
use super::failure::Failure;
use super::output::Output;
use super::place::{IfMissing, Paging, PlaceOptions, list, more, text};
use super::table::Table;

/// List, show, cancel and replay what was published.
#[derive(Debug, Subcommand)]
pub(crate) enum PublishesCommand {
    /// List what was published, the newest first.
    List(List),
    /// Show where a publish is and what became of it.
    Show(One),
    /// List the deliveries of a publish that no gateway took.
    Failures(Failures),
    /// Call off what has not been sent.
    Cancel(One),
    /// Send a publish again to the devices that it failed for. Prints the id of the new one.
    Replay(One),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    /// Only those that are scheduled, running, finished or cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Only those that name this interest.
    #[arg(long)]
    interest: Option<String>,
    /// Only those that name this user.
    #[arg(long)]
    user: Option<String>,
    /// Only those with this in a title; where payloads may be shown on the dashboard.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Only those accepted then or later, such as 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    accepted_from: Option<String>,
    /// Only those accepted before then.
    #[arg(long, value_name = "TIME")]
    accepted_until: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    instance: InstanceOption,
    /// The id of the publish.
    #[arg(value_name = "PUBLISH")]
    publish: String,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Failures {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    paging: Paging,
}

impl PublishesCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(one) => one.show().await,
            Self::Failures(failures) => failures.run().await,
            Self::Cancel(one) => one.cancel().await,
            Self::Replay(one) => one.replay().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let path = format!("/instances/{}/publishes", self.instance.id);
        let wanted = [
            ("status", self.status.as_deref()),
            ("interest", self.interest.as_deref()),
            ("user", self.user.as_deref()),
            ("title", self.title.as_deref()),
            ("acceptedFrom", self.accepted_from.as_deref()),
            ("acceptedUntil", self.accepted_until.as_deref()),
        ];
        let path = self.paging.path(&path, &wanted);
        self.place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get(&path).await?;
                let mut table =
                    Table::new(["PUBLISH", "STATE", "AUDIENCE", "ACCEPTED", "FINISHED"]);
                for publish in list(&answer, "publishes") {
                    let of = |key| text(publish, key);
                    let audience = &publish["audience"];
                    table.row([
                        of("publishId"),
                        of("state"),
                        format!("{} {}", text(audience, "size"), text(audience, "kind")),
                        of("acceptedAt"),
                        of("finishedAt"),
                    ]);
                }
                self.output
                    .show(&answer, format!("{table}{}", more(&answer)))
            })
            .await
    }
}

impl One {
    fn path(&self) -> String {
        let publish = AdminClient::escape(&self.publish);
        format!("/instances/{}/publishes/{publish}", self.instance.id)
    }

    async fn show(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let publish = place.get(&self.path()).await?;
                let mut table = Table::new(["PLATFORM", "OUTCOME", "REASON", "DEVICES"]);
                for tally in list(&publish, "tallies") {
                    let of = |key| text(tally, key);
                    table.row([of("platform"), of("outcome"), of("reason"), of("count")]);
                }
                let of = |key| text(&publish, key);
                let said = format!(
                    "Publish    {}\nState      {}\nAccepted   {}\nFinished   {}\nDelivered  {}\nOpened     {}\n\n{table}",
                    of("publishId"),
                    of("state"),
                    of("acceptedAt"),
                    of("finishedAt"),
                    of("delivered"),
                    of("opened"),
                );
                self.output.show(&publish, said)
            })
            .await
    }

    async fn cancel(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let done = place.call(Method::DELETE, &self.path(), None).await?;
                self.output
                    .show(&done, format!("Cancelled {}.", self.publish))
            })
            .await
    }

    async fn replay(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = format!("{}/replay", self.path());
                let done = place.call(Method::POST, &path, None).await?;
                self.output.show(&done, text(&done, "publishId"))
            })
            .await
    }
}

impl Failures {
    async fn run(self) -> Result<(), Failure> {
        let one = self.one;
        let path = self.paging.path(&format!("{}/failures", one.path()), &[]);
        one.place
            .with(IfMissing::Refuse, async |place| {
                let answer: Value = place.get(&path).await?;
                let mut table = Table::new(["DEVICE", "USER", "OUTCOME", "REASON", "AT"]);
                for failure in list(&answer, "failures") {
                    let of = |key| text(failure, key);
                    table.row([
                        of("device"),
                        of("user"),
                        of("outcome"),
                        of("reason"),
                        of("at"),
                    ]);
                }
                one.output
                    .show(&answer, format!("{table}{}", more(&answer)))
            })
            .await
    }
}
