//! `heliostat migrate`: everything from one database to another.
//!
//! What is moved and how is in [`store::moving`]; here is who is told of it. A move that was cut short goes on when the same
//! command is given again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use domain::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use server::config::{Config, Database, Overrides, environment};
use store::moving::{Mover, Moving, Progress as Step, Summary};

use super::failure::Failure;
use super::output::Output;
use super::progress::Progress;
use super::table::Table;

/// Move everything from one database to another: from SQLite to PostgreSQL, or back.
///
/// Instances with their sealed keys, devices, users, subscriptions, publishes and the work that is left of them. Stop all
/// servers on both databases first; a database in use is refused, and so is a target that has anything in it. If it is cut
/// short, give the same command again and it goes on. At the end every kind of row is counted and summed up on both sides. The
/// source stays as it is. What is sealed stays sealed: servers on the target need the master key of the source.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Where everything is: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    from: String,
    /// Where it is to go.
    #[arg(long, value_name = "URL")]
    to: String,
    /// A file with settings, TOML; config.default.toml has them all.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (from, to) = (self.load(&self.from)?, self.load(&self.to)?);
        if let Database::Sqlite(path) = &from.database
            && !path.exists()
        {
            return Err(Failure::new(format!(
                "there is no database {}",
                from.database
            )));
        }
        let (source, target) = (open(&from).await?, open(&to).await?);
        let moved = carry(&source, &target).await;
        source.close().await;
        target.close().await;
        let report = Report {
            from: from.database.to_string(),
            to: to.database.to_string(),
            summary: moved?,
        };
        self.output.show(&report.to_json(), &report)
    }

    fn load(&self, database: &str) -> Result<Config, Failure> {
        let overrides = Overrides {
            database: Some(database.to_owned()),
            ..Overrides::default()
        };
        Config::load(self.config.as_deref(), &environment, overrides)
            .map_err(|error| Failure::new(format!("the configuration cannot be used: {error}")))
    }
}

async fn open(config: &Config) -> Result<Arc<dyn Moving>, Failure> {
    let opened = server::app::open_moving(config).await;
    opened.map_err(|error| Failure::new(error.to_string()))
}

async fn carry(source: &Arc<dyn Moving>, target: &Arc<dyn Moving>) -> Result<Summary, Failure> {
    let watched = Mutex::new(Watched::default());
    let watch = |step| {
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.take(step);
    };
    let mover = Mover {
        source: Arc::clone(source),
        target: Arc::clone(target),
        watch: &watch,
    };
    let moved = mover.run(SystemClock.now()).await;
    moved.map_err(|refusal| Failure::new(format!("nothing can be moved: {refusal}")))
}

/// Rows moved and compared so far.
#[derive(Default)]
struct Watched {
    bar: Option<Progress>,
    rows: u64,
}

impl Watched {
    fn take(&mut self, step: Step) {
        match step {
            Step::Total(total) => self.bar = Some(Progress::begin("rows", Some(total))),
            Step::Moved(_, rows) | Step::Compared(_, rows) => self.rows += rows,
        }
        if let Some(bar) = &mut self.bar {
            bar.at(self.rows, self.rows);
        }
    }
}

/// What was moved.
struct Report {
    from: String,
    to: String,
    summary: Summary,
}

impl Report {
    fn to_json(&self) -> Value {
        let kinds = self.summary.kinds.iter().map(|(kind, sum)| {
            let own = json!({"rows": sum.rows(), "sum": sum.to_string()});
            (kind.as_str().to_owned(), own)
        });
        json!({
            "from": self.from,
            "to": self.to,
            "resumedRows": self.summary.resumed,
            "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["KIND", "ROWS", "SUM"]);
        for (kind, sum) in &self.summary.kinds {
            let short: String = sum.to_string().chars().take(16).collect();
            table.row([kind.as_str().to_owned(), sum.rows().to_string(), short]);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "Moved from {} to {}; both sides are the same.",
            self.from, self.to
        )?;
        if self.summary.resumed > 0 {
            writeln!(
                f,
                "{} of the rows were moved by an earlier run.",
                self.summary.resumed
            )?;
        }
        write!(
            f,
            "Servers on {} need the master key that those on {} had.",
            self.to, self.from
        )
    }
}
