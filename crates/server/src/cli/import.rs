//! `heliostat import`: devices from a file, with their users and interests, in bulk.
//!
//! Lines are read in one thread and written in batches by the store; what is in memory is a few batches, however long the file
//! is. An import adds and changes nothing twice, so one that was cut short is begun anew.

mod batches;
mod lines;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use domain::instance::InstanceId;
use domain::interest::INTERESTS_PER_DEVICE_MAX;
use domain::user::DEVICES_PER_USER_AND_PLATFORM_MAX;
use serde_json::{Value, json};
use server::admin::actor::Deed;
use store::StoreError;
use store::transfer::{DeviceImport, ImportRules, Imported};

use super::database::{Database, InstanceOption};
use super::failure::Failure;
use super::output::Output;
use super::place::IfMissing;
use super::progress::Progress;
use super::settings::Settings;
use batches::Batch;

/// How often a batch is tried while others keep the database busy, five seconds each time, and the pause in between.
const TRIES_MAX: u32 = 12;
const PAUSE: Duration = Duration::from_millis(500);

/// Bring devices in from a file.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Import devices with their users and interests from a file of JSON lines, beside a running server if there is one.
    ///
    /// A line: {"platform":"apns","token":"…","bundleIdentifier":"…","userId":"…","interests":["…"]}. Registers what is
    /// unknown, adds what is missing, takes nothing away; importing the same again changes nothing. Bad lines are named on
    /// stderr. Exits with 1 if any line was skipped.
    Devices(Devices),
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    #[command(flatten)]
    instance: InstanceOption,
    /// The file, a JSON object on each line; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to do about a line that cannot be imported.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "skip")]
    on_error: OnError,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// What to do about a line that cannot be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Name it and go on.
    Skip,
    /// Import what is before it and stop.
    Stop,
}

/// What was done.
#[derive(Debug, Default)]
struct Summary {
    registered: u64,
    updated: u64,
    unchanged: u64,
    bound: u64,
    subscriptions: u64,
    skipped: u64,
}

impl ImportCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Devices(devices) => devices.run().await,
        }
    }
}

impl Devices {
    async fn run(self) -> Result<(), Failure> {
        let name = name(&self.file);
        let (source, length) = open(&self.file, &name)?;
        let instance = self.instance.id;
        let summary = Database::with(&self.settings, IfMissing::Refuse, async |database| {
            database.instance(instance).await?;
            let import = Import {
                database,
                instance,
                on_error: self.on_error,
                name: &name,
            };
            let deed = Deed::new("device.import").at(instance);
            database.audited(deed, import.run(source, length)).await
        })
        .await?;
        self.output.show(&summary.to_json(instance), &summary)?;
        match summary.skipped {
            0 => Ok(()),
            skipped => Err(Failure::new(format!(
                "{skipped} lines of {name} were skipped, each named above; correct them and import again: what is \
                 imported already stays as it is"
            ))),
        }
    }
}

struct Import<'a> {
    database: &'a Database,
    instance: InstanceId,
    on_error: OnError,
    name: &'a str,
}

impl Import<'_> {
    async fn run(
        &self,
        source: impl Read + Send + 'static,
        length: Option<u64>,
    ) -> Result<Summary, Failure> {
        let mut progress = Progress::begin("lines", length);
        let mut batches = batches::start(source, self.on_error)?;
        let mut summary = Summary::default();
        while let Some(batch) = batches.recv().await {
            let mut batch = batch.map_err(|error| {
                Failure::new(format!("cannot read on in {}: {error}", self.name))
            })?;
            self.write(&mut batch, &mut summary).await?;
            batch.bad.sort_unstable();
            if let (OnError::Stop, Some((number, why))) = (self.on_error, batch.bad.first()) {
                return Err(Failure::new(format!(
                    "line {number} of {}: {why}; what is before it is imported, what is behind it is not",
                    self.name
                )));
            }
            for (number, why) in &batch.bad {
                progress.say(format_args!("line {number}: {why}"));
            }
            summary.skipped += batch.bad.len() as u64;
            progress.at(batch.lines, batch.bytes);
        }
        Ok(summary)
    }

    /// Writes a batch; lines that the store refuses join the bad ones.
    async fn write(&self, batch: &mut Batch, summary: &mut Summary) -> Result<(), Failure> {
        if batch.devices.is_empty() {
            return Ok(());
        }
        let devices: Arc<[DeviceImport]> = std::mem::take(&mut batch.devices).into();
        let imported = self.try_to_write(&devices).await?;
        for (imported, number) in imported.into_iter().zip(&batch.numbers) {
            match imported {
                Imported::Done {
                    new,
                    updated,
                    bound,
                    subscriptions,
                } => {
                    summary.registered += u64::from(new);
                    summary.updated += u64::from(updated);
                    let changed = new || updated || bound || subscriptions > 0;
                    summary.unchanged += u64::from(!changed);
                    summary.bound += u64::from(bound);
                    summary.subscriptions += subscriptions as u64;
                }
                Imported::Refused(why) => batch.bad.push((*number, why.to_string())),
            }
        }
        Ok(())
    }

    /// A server on the same database may keep it busy for a while.
    async fn try_to_write(&self, devices: &Arc<[DeviceImport]>) -> Result<Vec<Imported>, Failure> {
        let rules = ImportRules {
            devices_max: DEVICES_PER_USER_AND_PLATFORM_MAX,
            interests_max: INTERESTS_PER_DEVICE_MAX,
            stop_at_refused: self.on_error == OnError::Stop,
        };
        let mut tries = 1;
        loop {
            let (store, now) = (self.database.store(), self.database.now());
            let devices = Arc::clone(devices);
            match store
                .import_devices(self.instance, devices, rules, now)
                .await
            {
                Err(StoreError::Busy) if tries < TRIES_MAX => tries += 1,
                Err(StoreError::UnknownInstance) => {
                    return Err(self.database.unknown(self.instance));
                }
                done => return done.map_err(|error| self.database.failed(&error)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Summary {
    fn to_json(&self, instance: InstanceId) -> Value {
        json!({
            "instance": instance,
            "registered": self.registered,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "bound": self.bound,
            "subscriptions": self.subscriptions,
            "skipped": self.skipped,
        })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Registered     {}\nUpdated        {}\nUnchanged      {}\nBound to users {}\nSubscriptions  {}\nSkipped        {}",
            self.registered,
            self.updated,
            self.unchanged,
            self.bound,
            self.subscriptions,
            self.skipped
        )
    }
}

fn name(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".into()
    } else {
        file.display().to_string()
    }
}

/// Opens the file. With its length, where it has one.
fn open(file: &Path, name: &str) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let cannot = |error: std::io::Error| Failure::new(format!("cannot read {name}: {error}"));
    let opened = File::open(file).map_err(cannot)?;
    let metadata = opened.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(Failure::new(format!("cannot read {name}: it is a folder")));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(opened), length))
}
