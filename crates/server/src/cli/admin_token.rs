//! `heliostat admin-token`: tokens for the admin API and the dashboard. Whoever has the database may make them.

use clap::{Args, Subcommand};
use domain::instance::InstanceId;
use heliostat_client::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::place::{IfMissing, PlaceOptions, list, text};
use super::table::Table;

/// Create, list and revoke tokens for the admin API and the dashboard.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminTokenCommand {
    /// Create an admin token. Prints it this once.
    Create(Create),
    /// Make a link that signs a browser in to the dashboard, once, within 15 minutes.
    Link(Link),
    /// List the admin tokens: numbers, names and first characters.
    List(List),
    /// Revoke an admin token: it counts no more from now on.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it: 1 to 100 bytes.
    #[arg(long)]
    name: String,
    /// An instance that it is for; may be repeated. All instances without.
    #[arg(long = "instance", value_name = "ID")]
    instances: Vec<InstanceId>,
    /// Only for looking.
    #[arg(long)]
    read_only: bool,
    /// From when on it counts no more, such as 2027-01-31T00:00:00Z. Never without.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Link {
    /// What people call who signs in by it: 1 to 100 bytes.
    #[arg(long)]
    name: String,
    /// An instance that it is for; may be repeated. All instances without.
    #[arg(long = "instance", value_name = "ID")]
    instances: Vec<InstanceId>,
    /// Only for looking.
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The token's number, as `heliostat admin-token list` shows it.
    #[arg(value_name = "NUMBER")]
    number: i64,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

impl AdminTokenCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Link(link) => link.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let mut body = described(&self.name, &self.instances, self.read_only);
        body["expiresAt"] = json!(self.expires_at);
        self.place
            .with(IfMissing::Create, async |place| {
                let made = place
                    .call(Method::POST, "/admin-tokens", Some(&body))
                    .await?;
                let (number, token) = (text(&made, "number"), text(&made, "token"));
                let said = format!(
                    "Number       {number}\nAdmin token  {token}\n\nKeep it: it is shown this once."
                );
                self.output.show(&made, said)
            })
            .await
    }
}

/// Whom a token or a link is for, as the API takes it.
fn described(name: &str, instances: &[InstanceId], read_only: bool) -> Value {
    let mut body = json!({ "name": name, "may": if read_only { "read" } else { "write" } });
    if !instances.is_empty() {
        body["instances"] = json!(instances);
    }
    body
}

impl Link {
    async fn run(self) -> Result<(), Failure> {
        let body = described(&self.name, &self.instances, self.read_only);
        self.place
            .with(IfMissing::Refuse, async |place| {
                let made = place
                    .call(Method::POST, "/admin-tokens/links", Some(&body))
                    .await?;
                let said = format!(
                    "{}\n\nOpen it in a browser within 15 minutes; it works once.",
                    text(&made, "url")
                );
                self.output.show(&made, said)
            })
            .await
    }
}

/// The instances that a token is for.
fn reach(token: &Value) -> String {
    match token["instances"].as_array() {
        None => "all".into(),
        Some(some) => {
            let some: Vec<&str> = some.iter().filter_map(Value::as_str).collect();
            some.join(" ")
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get("/admin-tokens").await?;
                let heading = [
                    "NUMBER",
                    "NAME",
                    "TOKEN",
                    "MAY",
                    "INSTANCES",
                    "LAST USED",
                    "EXPIRES",
                ];
                let mut table = Table::new(heading);
                for token in list(&answer, "adminTokens") {
                    let of = |key| text(token, key);
                    table.row([
                        of("number"),
                        of("name"),
                        of("hint"),
                        of("may"),
                        reach(token),
                        of("usedAt"),
                        of("expiresAt"),
                    ]);
                }
                self.output.show(&answer["adminTokens"], table)
            })
            .await
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = format!("/admin-tokens/{}", self.number);
                let done = place.call(Method::DELETE, &path, None).await?;
                self.output
                    .show(&done, format!("Revoked admin token {}.", self.number))
            })
            .await
    }
}
