//! `heliostat instance`: create, list, show and delete instances.

use std::io::{IsTerminal as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use domain::device::Platform;
use domain::instance::{InstanceId, InstanceName, SecretKey};
use serde_json::{Value, json};
use store::StoreError;
use store::instances::{CredentialRecord, InstanceRecord};

use super::database::{Database, IfMissing};
use super::failure::Failure;
use super::key::{self, KeyCommand, Secret};
use super::output::Output;
use super::settings::Settings;
use super::table::Table;

/// The gateways that an instance needs a credential for.
const WITH_CREDENTIAL: [Platform; 2] = [Platform::Apns, Platform::Fcm];

/// Create, list, show and delete instances, and rotate their secret keys.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// Create an instance. Prints its id and its secret key, the key this once.
    Create(Create),
    /// List the instances.
    List(List),
    /// Show an instance: credentials and their state, key hints, VAPID key. No secrets.
    Show(Show),
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
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    settings: Settings,
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
    settings: Settings,
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
            Self::Delete(delete) => delete.run().await,
            Self::Key(key) => key.run().await,
        }
    }
}

/// An instance that was just created, with its secret key in the clear.
pub(crate) struct Created {
    pub(crate) id: InstanceId,
    pub(crate) secret_key: SecretKey,
    vapid_public_key: String,
}

/// Creates an instance.
pub(crate) async fn create(
    database: &Database,
    id: InstanceId,
    name: InstanceName,
    secret_key: SecretKey,
) -> Result<Created, Failure> {
    let new = database
        .vault()
        .new_instance(id, name, &secret_key, database.now())
        .map_err(|error| Failure::new(format!("cannot create the instance: {error}")))?;
    let vapid_public_key = URL_SAFE_NO_PAD.encode(&new.vapid_public_key);
    match database.store().create_instance(new).await {
        Ok(()) => Ok(Created {
            id,
            secret_key,
            vapid_public_key,
        }),
        Err(StoreError::InstanceExists) => Err(Failure::new(format!(
            "an instance {id} exists already; `heliostat instance show {id}` shows it"
        ))),
        Err(error) => Err(database.failed(&error)),
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let name = InstanceName::parse(self.name.as_str())
            .map_err(|error| Failure::usage(format!("--name: {error}")))?;
        let secret_key = key::given_or_random(self.secret_key.as_ref())?;
        let id = self.id.unwrap_or_else(InstanceId::random);
        Database::with(&self.settings, IfMissing::Create, async |database| {
            let created = create(database, id, name, secret_key).await?;
            let (key, vapid) = (created.secret_key.reveal(), &created.vapid_public_key);
            let json = json!({"id": id, "name": self.name, "secretKey": key, "vapidPublicKey": vapid});
            let text = format!(
                "Instance    {id}\nSecret key  {key}\n\nKeep the secret key: it is shown this once. \
                 It belongs in your backend, never in an app."
            );
            self.output.show(&json, text)
        })
        .await
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instances = database
                .store()
                .instances()
                .await
                .map_err(|error| database.failed(&error))?;
            let json: Value = instances.iter().map(to_json).collect();
            if instances.is_empty() {
                return self.output.show(
                    &json,
                    "No instances. Create one: heliostat instance create --name NAME",
                );
            }
            let mut table = Table::new(["ID", "NAME", "KEYS", "APNS", "FCM", "CREATED"]);
            for instance in &instances {
                let [apns, fcm] =
                    WITH_CREDENTIAL.map(|platform| state(credential(instance, platform)));
                table.row([
                    instance.id.to_string(),
                    instance.name.as_str().to_owned(),
                    instance.secret_keys.len().to_string(),
                    apns.to_owned(),
                    fcm.to_owned(),
                    instance.created_at.to_string(),
                ]);
            }
            self.output.show(&json, table)
        })
        .await
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let id = self.which.id()?;
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(id).await?;
            let keys: Vec<String> = instance
                .secret_keys
                .iter()
                .map(|key| format!("{} (number {}, since {})", key.hint, key.id.0, key.created_at))
                .collect();
            let text = format!(
                "Instance     {id}\nName         {}\nCreated      {}\nSecret keys  {}\nVAPID key    {}\n\n{}",
                instance.name.as_str(),
                instance.created_at,
                keys.join("\n             "),
                URL_SAFE_NO_PAD.encode(&instance.vapid_public_key),
                credential_table(&instance),
            );
            self.output.show(&to_json(&instance), text)
        })
        .await
    }
}

impl Delete {
    async fn run(self) -> Result<(), Failure> {
        let id = self.which.id()?;
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(id).await?;
            if !self.yes {
                confirm(&instance)?;
            }
            let deleted = database
                .store()
                .delete_instance(id)
                .await
                .map_err(|error| database.failed(&error))?;
            if !deleted {
                return Err(database.unknown(id));
            }
            self.output.show(
                &json!({"id": id, "deleted": true}),
                format!("Deleted {id}."),
            )
        })
        .await
    }
}

fn confirm(instance: &InstanceRecord) -> Result<(), Failure> {
    let id = instance.id;
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!(
            "instance {id} is not deleted without being asked for with --yes"
        )));
    }
    let mut stderr = std::io::stderr().lock();
    let asked = write!(
        stderr,
        "Delete the instance {:?} ({id}) with all its devices, users and publishes? Type yes: ",
        instance.name.as_str()
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

fn credential(instance: &InstanceRecord, platform: Platform) -> Option<&CredentialRecord> {
    instance
        .credentials
        .iter()
        .find(|credential| credential.platform == platform)
}

fn state(credential: Option<&CredentialRecord>) -> &'static str {
    match credential {
        None => "not set",
        Some(credential) if credential.broken.is_some() => "broken",
        Some(_) => "ok",
    }
}

/// The credentials of an instance, as a table.
pub(crate) fn credential_table(instance: &InstanceRecord) -> Table<4> {
    let mut table = Table::new(["GATEWAY", "STATE", "CREDENTIAL", "SET"]);
    for platform in WITH_CREDENTIAL {
        let found = credential(instance, platform);
        let state = match found.and_then(|credential| credential.broken.as_ref()) {
            Some(broken) => format!("broken since {}: {}", broken.since, broken.reason),
            None => state(found).to_owned(),
        };
        let (summary, set) = match found {
            Some(credential) => (credential.summary.clone(), credential.set_at.to_string()),
            None => (String::new(), String::new()),
        };
        table.row([platform.to_string(), state, summary, set]);
    }
    table.row([
        "web".into(),
        "ok".into(),
        "the instance's VAPID key".into(),
        instance.created_at.to_string(),
    ]);
    table
}

/// A credential as JSON, without secrets.
pub(crate) fn credential_json(credential: &CredentialRecord) -> Value {
    json!({
        "platform": credential.platform,
        "state": state(Some(credential)),
        "summary": credential.summary,
        "setAt": credential.set_at.to_string(),
        "brokenSince": credential.broken.as_ref().map(|broken| broken.since.to_string()),
        "brokenReason": credential.broken.as_ref().map(|broken| &broken.reason),
    })
}

fn to_json(instance: &InstanceRecord) -> Value {
    json!({
        "id": instance.id,
        "name": instance.name,
        "createdAt": instance.created_at.to_string(),
        "vapidPublicKey": URL_SAFE_NO_PAD.encode(&instance.vapid_public_key),
        "secretKeys": instance.secret_keys.iter().map(key::to_json).collect::<Value>(),
        "credentials": instance.credentials.iter().map(credential_json).collect::<Value>(),
    })
}
