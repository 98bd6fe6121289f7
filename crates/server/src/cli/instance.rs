//! `heliostat instance`: create, list, show, rename and delete instances.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use domain::instance::{InstanceId, InstanceName};
use heliostat_client::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::key::{self, KeyCommand, Secret};
use super::output::Output;
use super::place::{IfMissing, PlaceOptions, list, text};
use super::table::Table;

/// The gateways that an instance needs a credential for.
const WITH_CREDENTIAL: [&str; 2] = ["apns", "fcm"];

/// Create, list, show, rename and delete instances, and rotate their secret keys.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// Create an instance. Prints its id and its secret key, the key this once.
    Create(Create),
    /// List the instances.
    List(List),
    /// Show an instance: how many devices, credentials and their state, key hints, VAPID key. No secrets.
    Show(Show),
    /// Give an instance another name.
    Rename(Rename),
    /// Delete an instance and everything in it.
    Delete(Delete),
    /// Add, list and revoke secret keys.
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it: 1 to 100 bytes.
    #[arg(long)]
    name: String,
    /// Its id, a UUID, if it must be a certain one (moving from Beams); random otherwise.
    #[arg(long, value_name = "UUID")]
    id: Option<InstanceId>,
    /// Its secret key, if it must be a certain one; `-` reads it from standard input; random otherwise.
    #[arg(long, value_name = "KEY")]
    secret_key: Option<Secret>,
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
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Rename {
    #[command(flatten)]
    which: Which,
    /// What people are to call it: 1 to 100 bytes.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

/// An instance's id, given bare or as other commands take it.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The instance's id.
    #[arg(value_name = "ID")]
    id: Option<InstanceId>,
    /// The instance's id, as other commands take it.
    #[arg(long = "instance", value_name = "ID")]
    flag: Option<InstanceId>,
}

impl Which {
    fn id(self) -> Result<InstanceId, Failure> {
        self.id
            .or(self.flag)
            .ok_or_else(|| Failure::usage("the instance's id is missing"))
    }
}

impl InstanceCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Rename(rename) => rename.run().await,
            Self::Delete(delete) => delete.run().await,
            Self::Key(key) => key.run().await,
        }
    }
}

/// The path of an instance behind `/admin_api/v1`.
pub(crate) fn path_of(id: InstanceId, rest: &str) -> String {
    format!("/instances/{id}{rest}")
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        InstanceName::parse(self.name.as_str())
            .map_err(|error| Failure::usage(format!("--name: {error}")))?;
        let secret_key = key::given(self.secret_key.as_ref())?;
        let mut body = json!({"name": self.name});
        if let Some(id) = self.id {
            body["id"] = json!(id);
        }
        if let Some(key) = &secret_key {
            body["secretKey"] = key.reveal().into();
        }
        self.place
            .with(IfMissing::Create, async |place| {
                let made = place.call(Method::POST, "/instances", Some(&body)).await?;
                let said = format!(
                    "Instance    {}\nSecret key  {}\nMade in     {}\n\nKeep the secret key: it is shown this once. \
                     It belongs in your backend, never in an app.",
                    text(&made, "id"),
                    text(&made, "secretKey"),
                    place.name(),
                );
                self.output.show(&made, said)
            })
            .await
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get("/instances").await?;
                let instances = list(&answer, "instances");
                if instances.is_empty() {
                    return self.output.show(
                        &answer["instances"],
                        "No instances. Create one: heliostat instance create --name NAME",
                    );
                }
                let mut table = Table::new(["ID", "NAME", "KEYS", "APNS", "FCM", "CREATED"]);
                for instance in instances {
                    let [apns, fcm] = WITH_CREDENTIAL.map(|platform| {
                        let found = credential(list(instance, "credentials"), platform);
                        found.map_or("not set".to_owned(), |found| text(found, "state"))
                    });
                    table.row([
                        text(instance, "id"),
                        text(instance, "name"),
                        list(instance, "secretKeys").len().to_string(),
                        apns,
                        fcm,
                        text(instance, "createdAt"),
                    ]);
                }
                self.output.show(&answer["instances"], table)
            })
            .await
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let id = self.which.id()?;
        self.place
            .with(IfMissing::Refuse, async |place| {
                let instance = place.get(&path_of(id, "")).await?;
                let keys: Vec<String> = list(&instance, "secretKeys")
                    .iter()
                    .map(|key| {
                        let of = |name| text(key, name);
                        format!("{} (number {}, since {})", of("hint"), of("number"), of("createdAt"))
                    })
                    .collect();
                let of = |name| text(&instance, name);
                let said = format!(
                    "Instance     {id}\nName         {}\nCreated      {}\nDevices      {}\nSecret keys  {}\nVAPID key    {}\n\n{}",
                    of("name"),
                    of("createdAt"),
                    devices(&instance),
                    keys.join("\n             "),
                    of("vapidPublicKey"),
                    credential_table(list(&instance, "credentials"), &of("createdAt")),
                );
                self.output.show(&instance, said)
            })
            .await
    }
}

impl Rename {
    async fn run(self) -> Result<(), Failure> {
        let id = self.which.id()?;
        let body = json!({"name": self.name});
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = path_of(id, "");
                let renamed = place.call(Method::PATCH, &path, Some(&body)).await?;
                let said = format!("Renamed {id} to {:?}.", text(&renamed, "name"));
                self.output.show(&renamed, said)
            })
            .await
    }
}

impl Delete {
    async fn run(self) -> Result<(), Failure> {
        let id = self.which.id()?;
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = path_of(id, "");
                let instance = place.get(&path).await?;
                if !self.yes {
                    confirm(id, &text(&instance, "name"))?;
                }
                let done = place.call(Method::DELETE, &path, None).await?;
                self.output.show(&done, format!("Deleted {id}."))
            })
            .await
    }
}

fn confirm(id: InstanceId, name: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!(
            "instance {id} is not deleted without being asked for with --yes"
        )));
    }
    let mut stderr = std::io::stderr().lock();
    let asked = write!(
        stderr,
        "Delete the instance {name:?} ({id}) with all its devices, users and publishes? Type yes: "
    )
    .and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failure::new(format!(
            "instance {id} is not deleted: the answer was not yes"
        ))),
    }
}

/// How many devices an instance has, and may have.
fn devices(instance: &Value) -> String {
    let devices = &instance["devices"];
    match instance["devicesMax"].as_u64() {
        Some(most) => format!("{devices} of {most}"),
        None => devices.to_string(),
    }
}

/// The credential of an instance for a platform.
fn credential<'a>(credentials: &'a [Value], platform: &str) -> Option<&'a Value> {
    credentials
        .iter()
        .find(|credential| credential["platform"] == platform)
}

/// The credentials of an instance, as a table.
pub(crate) fn credential_table(credentials: &[Value], created_at: &str) -> Table<4> {
    let mut table = Table::new(["GATEWAY", "STATE", "CREDENTIAL", "SET"]);
    for platform in WITH_CREDENTIAL {
        let cells = match credential(credentials, platform) {
            None => ["not set".to_owned(), String::new(), String::new()],
            Some(found) => {
                let of = |key| text(found, key);
                let state = match found["brokenReason"].as_str() {
                    Some(reason) => format!("broken since {}: {reason}", of("brokenSince")),
                    None => of("state"),
                };
                [state, of("summary"), of("setAt")]
            }
        };
        let [state, summary, set] = cells;
        table.row([platform.to_owned(), state, summary, set]);
    }
    table.row([
        "web".into(),
        "ok".into(),
        "the instance's VAPID key".into(),
        created_at.to_owned(),
    ]);
    table
}
