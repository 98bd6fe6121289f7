//! `heliostat export`: an instance's devices into a file, in the form that `heliostat import` reads.
//!
//! The file holds gateway tokens, which are secrets: nobody but its owner may read it. It gets its name only once it is
//! whole.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::instance::InstanceId;
use serde_json::json;
use server::admin::actor::Deed;

use super::database::{Database, InstanceOption};
use super::device_line;
use super::failure::Failure;
use super::output::Output;
use super::place::IfMissing;
use super::progress::Progress;
use super::settings::Settings;

/// Devices that are read at once.
const PAGE_LENGTH: usize = 1000;

/// Write devices out to a file.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Export an instance's devices, with their users, interests and gateway tokens, as JSON lines for `heliostat import`.
    ///
    /// The gateway tokens are secrets: keep the file as you would keep the database.
    Devices(Devices),
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    #[command(flatten)]
    instance: InstanceOption,
    /// The file to write, in place of one that is there; standard output if none is named, or `-`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// What was written.
#[derive(Debug, Default)]
struct Exported {
    devices: u64,
    unreadable: u64,
}

impl ExportCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Devices(devices) => devices.run().await,
        }
    }
}

impl Devices {
    async fn run(self) -> Result<(), Failure> {
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let instance = self.instance.id;
        let exported = Database::with(&self.settings, IfMissing::Refuse, async |database| {
            database.instance(instance).await?;
            // Gateway tokens leave the database in the clear.
            let deed = Deed::new("device.export").at(instance);
            let export = async {
                match file {
                    Some(file) => to_file(database, instance, file).await,
                    None => to_stdout(database, instance).await,
                }
            };
            database.audited(deed, export).await
        })
        .await?;
        if let Some(file) = file {
            let json = json!({"instance": instance, "devices": exported.devices, "unreadable": exported.unreadable});
            let text = format!(
                "Exported {} devices to {}",
                exported.devices,
                file.display()
            );
            self.output.show(&json, text)?;
        }
        match exported.unreadable {
            0 => Ok(()),
            unreadable => Err(Failure::new(format!(
                "{unreadable} devices in the database do not read back and were left out"
            ))),
        }
    }
}

/// Why an export did not come to its end.
enum Stopped {
    Reading(Failure),
    Writing(std::io::Error),
}

impl Stopped {
    fn into_failure(self, name: &str) -> Failure {
        match self {
            Self::Reading(failure) => failure,
            Self::Writing(error) => Failure::new(format!("cannot write to {name}: {error}")),
        }
    }
}

async fn to_stdout(database: &Database, instance: InstanceId) -> Result<Exported, Failure> {
    match export(database, instance, &mut std::io::stdout()).await {
        // A reader that has gone away has read what it wanted.
        Err(Stopped::Writing(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(Exported::default())
        }
        done => done.map_err(|stopped| stopped.into_failure("standard output")),
    }
}

async fn to_file(
    database: &Database,
    instance: InstanceId,
    file: &Path,
) -> Result<Exported, Failure> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let opened = open_private(&part)
        .map_err(|error| Failure::new(format!("cannot write to {}: {error}", part.display())))?;
    let mut to = &opened;
    let done = match export(database, instance, &mut to).await {
        Ok(exported) => opened
            .sync_all()
            .and_then(|()| std::fs::rename(&part, file))
            .map(|()| exported)
            .map_err(Stopped::Writing),
        stopped => stopped,
    };
    done.map_err(|stopped| {
        // What is left of it is of no use.
        let _ = std::fs::remove_file(&part);
        stopped.into_failure(&file.display().to_string())
    })
}

fn open_private(file: &Path) -> std::io::Result<File> {
    // One that is there may be readable by others.
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
}

async fn export(
    database: &Database,
    instance: InstanceId,
    to: &mut impl Write,
) -> Result<Exported, Stopped> {
    let mut progress = Progress::begin("devices", None);
    let mut exported = Exported::default();
    let mut text = Vec::new();
    let mut after = None;
    loop {
        let page = database
            .store()
            .export_devices(instance, after, PAGE_LENGTH)
            .await
            .map_err(|error| Stopped::Reading(database.failed(&error)))?;
        text.clear();
        for device in &page.devices {
            let length = text.len();
            if device_line::write(device, &mut text).is_ok() {
                exported.devices += 1;
            } else {
                text.truncate(length);
                exported.unreadable += 1;
            }
        }
        exported.unreadable += page.unreadable;
        to.write_all(&text).map_err(Stopped::Writing)?;
        progress.at(exported.devices, exported.devices);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    to.flush().map_err(Stopped::Writing)?;
    Ok(exported)
}
