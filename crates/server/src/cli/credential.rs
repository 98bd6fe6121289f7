//! `heliostat credential`: what an instance shows to its gateways. Checked when it is set, sealed before it is kept.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::credential::{ApnsCredential, Credential, FcmCredential};
use domain::instance::InstanceId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::database::{Database, IfMissing, InstanceOption};
use super::failure::Failure;
use super::instance::{credential_json, credential_table};
use super::output::Output;
use super::settings::Settings;

/// The largest credential file, in bytes. Apple's has under 1 KiB, Google's about 2.5.
const FILE_LENGTH_MAX: u64 = 64 * 1024;

/// Set and list the gateway credentials of an instance.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Set a credential in place of the one before.
    #[command(subcommand)]
    Set(Set),
    /// List the credentials of an instance and their state.
    List(List),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Set {
    /// For iPhones, iPads and Macs: an APNs authentication key of an Apple developer team.
    Apns(Apns),
    /// For Android: a service account of a Firebase project.
    Fcm(Fcm),
}

#[derive(Debug, Args)]
pub(crate) struct Apns {
    #[command(flatten)]
    instance: InstanceOption,
    /// The key file as Apple hands it out once: AuthKey_….p8.
    #[arg(long, value_name = "P8")]
    key_file: PathBuf,
    /// The key's id: ten characters, also in the file's name.
    #[arg(long, value_name = "ID")]
    key_id: String,
    /// The developer team's id: ten characters.
    #[arg(long, value_name = "ID")]
    team_id: String,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Fcm {
    #[command(flatten)]
    instance: InstanceOption,
    /// The service account's key file, JSON, as Google's console hands it out.
    #[arg(long, value_name = "FILE")]
    service_account: PathBuf,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl CredentialCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(Set::Apns(apns)) => apns.run().await,
            Self::Set(Set::Fcm(fcm)) => fcm.run().await,
            Self::List(list) => list.run().await,
        }
    }
}

/// Reads and checks an APNs key.
pub(crate) fn read_apns(file: &Path, key_id: &str, team_id: &str) -> Result<Credential, Failure> {
    let pem = read(file)?;
    ApnsCredential::parse(key_id, team_id, &pem)
        .map(Credential::Apns)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

/// Reads and checks a service account.
pub(crate) fn read_fcm(file: &Path) -> Result<Credential, Failure> {
    let json = read(file)?;
    FcmCredential::parse(&json)
        .map(Credential::Fcm)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

/// Sets a credential in place of the one before.
pub(crate) async fn set(
    database: &Database,
    id: InstanceId,
    credential: &Credential,
) -> Result<(), Failure> {
    let id = database.instance(id).await?.id;
    let new = database
        .vault()
        .new_credential(id, credential, database.now())
        .map_err(|error| Failure::new(format!("cannot set the credential: {error}")))?;
    database
        .store()
        .set_credential(id, new)
        .await
        .map_err(|error| database.failed(&error))
}

fn read(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot =
        |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", file.display()));
    let length = std::fs::metadata(file).map_err(cannot)?.len();
    if length > FILE_LENGTH_MAX {
        let why = format!(
            "{} is no credential: {length} bytes are too many",
            file.display()
        );
        return Err(Failure::new(why));
    }
    std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(cannot)
}

async fn set_and_show(
    settings: &Settings,
    output: Output,
    id: InstanceId,
    credential: Credential,
) -> Result<(), Failure> {
    Database::with(settings, IfMissing::Refuse, async |database| {
        set(database, id, &credential).await?;
        let (platform, summary) = (credential.platform(), credential.summary());
        let json = json!({"instance": id, "platform": platform, "summary": summary});
        output.show(&json, format!("Set for {platform}: {summary}."))
    })
    .await
}

impl Apns {
    async fn run(self) -> Result<(), Failure> {
        let credential = read_apns(&self.key_file, &self.key_id, &self.team_id)?;
        set_and_show(&self.settings, self.output, self.instance.id, credential).await
    }
}

impl Fcm {
    async fn run(self) -> Result<(), Failure> {
        let credential = read_fcm(&self.service_account)?;
        set_and_show(&self.settings, self.output, self.instance.id, credential).await
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(self.instance.id).await?;
            let json: Value = instance.credentials.iter().map(credential_json).collect();
            self.output.show(&json, credential_table(&instance))
        })
        .await
    }
}
