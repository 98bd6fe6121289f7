//! `heliostat user`: look users up, delete, forget or export one.

use clap::{Args, Subcommand};
use heliostat_client::{AdminClient, Method};
use serde_json::{Value, json};

use super::database::InstanceOption;
use super::device::device_table;
use super::failure::Failure;
use super::output::{self, Output};
use super::place::{IfMissing, Paging, PlaceOptions, list, more, text, with_query};
use super::table::Table;

/// List, show, delete, forget and export users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List users, by id.
    List(List),
    /// Show a user's devices.
    Show(User),
    /// Delete a user's devices, as an app's backend can.
    Delete(User),
    /// Remove every trace of a user, and look everything through again.
    Forget(Forget),
    /// Print all data of a user as JSON.
    Export(User),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    /// What the ids begin with.
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct User {
    #[command(flatten)]
    instance: InstanceOption,
    /// The user's id.
    #[arg(value_name = "USER_ID")]
    user: String,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    #[command(flatten)]
    user: User,
    /// Write the files of the database anew, too, so that nothing can be read from them any more. Takes time in proportion to
    /// the database, and a running server waits meanwhile.
    #[arg(long)]
    scrub: bool,
}

impl UserCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(user) => user.show().await,
            Self::Delete(user) => user.delete().await,
            Self::Forget(forget) => forget.run().await,
            Self::Export(user) => user.export().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let path = format!("/instances/{}/users", self.instance.id);
        let path = self
            .paging
            .path(&path, &[("prefix", self.prefix.as_deref())]);
        self.place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get(&path).await?;
                let mut table = Table::new(["USER", "DEVICES", "BOUND SINCE", "LAST SEEN"]);
                for user in list(&answer, "users") {
                    let of = |key| text(user, key);
                    table.row([of("user"), of("devices"), of("boundSince"), of("lastSeen")]);
                }
                self.output
                    .show(&answer, format!("{table}{}", more(&answer)))
            })
            .await
    }
}

impl User {
    fn path(&self) -> String {
        let user = AdminClient::escape(&self.user);
        format!("/instances/{}/users/{user}", self.instance.id)
    }

    async fn show(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let user = place.get(&self.path()).await?;
                self.output
                    .show(&user, device_table(list(&user, "devices")))
            })
            .await
    }

    async fn delete(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let done = place.call(Method::DELETE, &self.path(), None).await?;
                let said = format!("Deleted {} devices.", text(&done, "devicesDeleted"));
                self.output.show(&done, said)
            })
            .await
    }

    /// All pages as one.
    async fn export(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = format!("{}/export", self.path());
                let mut whole = place.get(&path).await?;
                while let Some(next) = whole["nextCursor"].as_str() {
                    let path = with_query(&path, &[("cursor", Some(next))]);
                    let mut page = place.get(&path).await?;
                    let further = page["publishes"].take();
                    whole["nextCursor"] = page["nextCursor"].take();
                    if let (Some(all), Value::Array(further)) =
                        (whole["publishes"].as_array_mut(), further)
                    {
                        all.extend(further);
                    }
                }
                if let Some(fields) = whole.as_object_mut() {
                    fields.remove("nextCursor");
                }
                output::print(format_args!("{whole:#}"))
            })
            .await
    }
}

impl Forget {
    async fn run(self) -> Result<(), Failure> {
        let (user, body) = (self.user, json!({"scrub": self.scrub}));
        user.place
            .with(IfMissing::Refuse, async |place| {
                let path = format!("{}/forget", user.path());
                let told = place.call(Method::POST, &path, Some(&body)).await?;
                let mut table = Table::new(["WHAT", "REMOVED", "LEFT"]);
                for (key, name) in [
                    ("devices", "devices"),
                    ("names", "names in publishes and lists"),
                    ("outcomes", "outcomes"),
                    ("failures", "failures"),
                    ("events", "reports"),
                    ("webhookRequests", "requests to webhooks"),
                    ("auditEntries", "names in the audit log"),
                ] {
                    let of = |side: &str| text(&told[side], key);
                    table.row([name.into(), of("removed"), of("remaining")]);
                }
                user.output.show(&told, table)
            })
            .await
    }
}
