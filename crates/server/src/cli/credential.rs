//! `heliostat credential`: what an instance shows to its gateways. Checked when it is set, sealed before it is kept.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::credential::{ApnsCredential, Credential, FcmCredential};
use domain::instance::InstanceId;
use heliostat_client::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::database::InstanceOption;
use super::failure::Failure;
use super::instance::{credential_table, path_of};
use super::output::Output;
use super::place::{IfMissing, PlaceOptions, list, text};

/// The largest credential file, in bytes. Apple's has under 1 KiB, Google's about 2.5.
const FILE_LENGTH_MAX: u64 = 64 * 1024;

/// Set, list and check the gateway credentials of an instance.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Set a credential in place of the one before.
    #[command(subcommand)]
    Set(Set),
    /// List the credentials of an instance and their state.
    List(List),
    /// Show a credential to its gateway, and say what the gateway thinks of it.
    Check(Check),
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
    place: PlaceOptions,
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
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    instance: InstanceOption,
    /// Which one: apns or fcm.
    #[arg(value_name = "GATEWAY", value_parser = ["apns", "fcm"])]
    platform: String,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

impl CredentialCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(Set::Apns(apns)) => apns.run().await,
            Self::Set(Set::Fcm(fcm)) => fcm.run().await,
            Self::List(list) => list.run().await,
            Self::Check(check) => check.run().await,
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
    place: &PlaceOptions,
    output: Output,
    id: InstanceId,
    platform: &str,
    body: &Value,
) -> Result<(), Failure> {
    place
        .with(IfMissing::Refuse, async |place| {
            let path = path_of(id, &format!("/credentials/{platform}"));
            let set = place.call(Method::PUT, &path, Some(body)).await?;
            let said = format!("Set for {platform}: {}.", text(&set, "summary"));
            output.show(&set, said)
        })
        .await
}

impl Apns {
    async fn run(self) -> Result<(), Failure> {
        // Checked here too, since here it is known which file is wrong.
        read_apns(&self.key_file, &self.key_id, &self.team_id)?;
        let pem = read(&self.key_file)?;
        let body = json!({"key": pem.as_str(), "keyId": self.key_id, "teamId": self.team_id});
        set_and_show(&self.place, self.output, self.instance.id, "apns", &body).await
    }
}

impl Fcm {
    async fn run(self) -> Result<(), Failure> {
        read_fcm(&self.service_account)?;
        let account = read(&self.service_account)?;
        let body = json!({"serviceAccount": account.as_str()});
        set_and_show(&self.place, self.output, self.instance.id, "fcm", &body).await
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let instance = place.get(&path_of(self.instance.id, "")).await?;
                let created_at = text(&instance, "createdAt");
                let table = credential_table(list(&instance, "credentials"), &created_at);
                self.output.show(&instance["credentials"], table)
            })
            .await
    }
}

impl Check {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let rest = format!("/credentials/{}/check", self.platform);
                let path = path_of(self.instance.id, &rest);
                let told = place.call(Method::POST, &path, Some(&json!({}))).await?;
                let said = match told["reason"].as_str() {
                    None => text(&told, "verdict"),
                    Some(reason) => format!("{}: {reason}", text(&told, "verdict")),
                };
                self.output.show(&told, said)
            })
            .await
    }
}
