//! `heliostat backup` and `heliostat restore`: a copy of a SQLite database while servers work on it, and back.
//!
//! How is in [`store::sqlite::backup`]; here is who is told of it.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use delivery::vault::Vault;
use domain::clock::{Clock as _, SystemClock};
use domain::instance::InstanceId;
use domain::seal::Sealed;
use serde_json::{Value, json};
use server::config::{Config, Database};
use store::sqlite::backup::{Backup, BackupError, Proof, Restore, Step};

use super::failure::Failure;
use super::output::Output;
use super::progress::Progress;
use super::settings::Settings;
use super::table::Table;

const MIB: u64 = 1 << 20;

/// Copy the database into a file, while servers work on it (SQLite).
///
/// The copy is of the moment at which the command began: what was answered before is in it, what was answered later is not. It is
/// read from end to end before it gets its name, and only its owner may read it. The master key is not in it: keep that elsewhere.
/// On PostgreSQL use pg_dump or base backups.
#[derive(Debug, Args)]
pub(crate) struct BackUp {
    /// The file that is to be the copy.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// How fast to copy at most, in MiB per second, so that servers on the same disk do not have to wait; 0 for no limit.
    #[arg(long, value_name = "MIB", default_value_t = 100)]
    rate: u64,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// Put a copy that `heliostat backup` made into the place of the database (SQLite).
///
/// Stop all servers on the database first; one in use is refused. The copy is read from end to end, and must hold what it held when
/// it was made, before anything is changed. What had not been sent when the copy was made is sent by the next server, though it may
/// have been sent since: docs/OPERATIONS.md says how to call it off first.
#[derive(Debug, Args)]
pub(crate) struct PutBack {
    /// The copy; it stays as it is.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the database if there is one; what it holds is lost.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl BackUp {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?;
        let database = sqlite_only(&config, "backup")?;
        let (file, force, rate) = (self.file.clone(), self.force, self.rate);
        let name = database.clone();
        let proof = watched(move |watch| {
            let backup = Backup {
                database: &name,
                file: &file,
                replace: force,
                bytes_per_second_max: NonZeroU64::new(rate.saturating_mul(MIB)),
                now: SystemClock.now(),
            };
            backup.run(watch)
        })
        .await?;
        let report = Report {
            proof,
            sentence: format!(
                "Copied {} to {}. The master key is not in it: keep that elsewhere.",
                config.database,
                self.file.display()
            ),
        };
        self.output.show(&report.to_json(), &report)
    }
}

impl PutBack {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?;
        let database = sqlite_only(&config, "restore")?;
        let key = config
            .present_master_key()
            .map_err(|error| Failure::new(error.to_string()))?;
        let vault = key.map(Vault::new);
        let (file, force, asked) = (self.file.clone(), self.force, vault.is_some());
        let proof = watched(move |watch| {
            let opens = |id: InstanceId, sealed: &Sealed| -> Result<(), String> {
                let Some(vault) = &vault else { return Ok(()) };
                vault
                    .check_vapid_key(id, sealed)
                    .map_err(|error| error.to_string())
            };
            let restore = Restore {
                file: &file,
                database: &database,
                replace: force,
                opens: vault.is_some().then_some(&opens),
            };
            restore.run(watch)
        })
        .await?;
        let key = if asked {
            "The master key that is set opens it."
        } else {
            "No master key is set here: servers need the one that it was sealed under."
        };
        let report = Report {
            sentence: format!(
                "{} is what {} held{}. {key}",
                config.database,
                self.file.display(),
                match proof.made_at {
                    Some(at) => format!(" at {at}, the same row for row"),
                    None => "; it does not say what that should be".to_owned(),
                }
            ),
            proof,
        };
        self.output.show(&report.to_json(), &report)
    }
}

fn sqlite_only(config: &Config, command: &str) -> Result<PathBuf, Failure> {
    match &config.database {
        Database::Sqlite(path) => Ok(path.clone()),
        Database::Postgres(_) => Err(Failure::new(format!(
            "`heliostat {command}` is for SQLite, and {} is not: use pg_dump or base backups and the tools that belong to them \
             (docs/OPERATIONS.md, \"Backups\")",
            config.database
        ))),
    }
}

/// Does what blocks, and shows how far it is.
async fn watched(
    work: impl FnOnce(&dyn Fn(Step)) -> Result<Proof, BackupError> + Send + 'static,
) -> Result<Proof, Failure> {
    let (told, mut steps) = tokio::sync::watch::channel(None);
    let working = tokio::task::spawn_blocking(move || {
        work(&|step| {
            let _ = told.send(Some(step));
        })
    });
    let mut bars = Bars::default();
    while steps.changed().await.is_ok() {
        let step: Option<Step> = *steps.borrow_and_update();
        if let Some(step) = step {
            bars.show(step);
        }
    }
    drop(bars);
    let done = working
        .await
        .map_err(|error| Failure::new(format!("it broke off: {error}")))?;
    done.map_err(|error| Failure::new(error.to_string()))
}

/// First what is copied, then what is read again.
#[derive(Default)]
struct Bars {
    copying: Option<Progress>,
    checking: Option<Progress>,
}

impl Bars {
    fn show(&mut self, step: Step) {
        match step {
            Step::Copied(bytes, total) => self
                .copying
                .get_or_insert_with(|| Progress::begin("MiB", Some(total)))
                .at(bytes / MIB, bytes),
            Step::Checked(rows) => {
                self.copying = None;
                self.checking
                    .get_or_insert_with(|| Progress::begin("rows read again", None))
                    .at(rows, rows);
            }
        }
    }
}

/// What a copy holds.
struct Report {
    proof: Proof,
    sentence: String,
}

impl Report {
    fn to_json(&self) -> Value {
        let tables = self.proof.tables.iter().map(|(name, sum)| {
            let own = json!({"rows": sum.rows(), "sum": sum.to_string()});
            (name.clone(), own)
        });
        json!({
            "madeAt": self.proof.made_at.map(|at| at.to_string()),
            "schemaVersion": self.proof.schema_version,
            "tables": tables.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["TABLE", "ROWS", "SUM"]);
        let filled = self.proof.tables.iter().filter(|(_, sum)| sum.rows() > 0);
        for (name, sum) in filled {
            let short: String = sum.to_string().chars().take(16).collect();
            table.row([name.clone(), sum.rows().to_string(), short]);
        }
        writeln!(f, "{table}")?;
        write!(f, "{}", self.sentence)
    }
}
