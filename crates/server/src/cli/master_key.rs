//! `heliostat master-key`: which master keys are needed, and sealing everything anew under another one.

use std::fmt;

use clap::{Args, Subcommand};
use delivery::rotation::{Rotated, Rotation, Survey, survey};
use domain::clock::SystemClock;
use domain::seal::KeyId;
use serde_json::{Value, json};
use server::admin::actor::Deed;

use super::database::Database;
use super::failure::Failure;
use super::output::Output;
use super::place::IfMissing;
use super::progress::Progress;
use super::settings::Settings;
use super::table::Table;

/// Change the master key that seals secrets in the database.
#[derive(Debug, Subcommand)]
pub(crate) enum MasterKeyCommand {
    List(List),
    Rotate(Rotate),
}

impl MasterKeyCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Rotate(rotate) => rotate.run().await,
        }
    }
}

/// Show the master keys: which one seals, and what still needs each of them.
///
/// Keys are shown by their ids, which say nothing of the keys.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// Seal everything in the database anew, under the first of the configured master keys.
///
/// Servers may run meanwhile. Give every server the new key behind the old one and restart them one by one; then put it first
/// everywhere in the same way; then run this; then take the old key out. It works in batches and may be cut short at any time:
/// given again, it goes on. It refuses while a server runs that does not have the new key, and fails while one still seals
/// under another.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let report = Report::make(database).await?;
            self.output.show(&report.to_json(), &report)
        })
        .await
    }
}

impl Rotate {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let mut progress = Progress::begin("values", None);
            let rotation = Rotation::new(database.store(), database.vault(), &SystemClock);
            let rotate = async {
                let done = rotation.run(|done| progress.at(done.seen, done.seen)).await;
                done.map_err(|error| Failure::new(error.to_string()))
            };
            let deed = Deed::new("master_key.rotate");
            let deed = match database.vault().key_ids().first() {
                Some(key) => deed.on(key),
                None => deed,
            };
            let done = database.audited(deed, rotate).await;
            drop(progress);
            let done = done?;
            let report = Report::make(database).await?;
            let mut answer = report.to_json();
            answer["resealed"] = json!(done.resealed);
            self.output.show(&answer, Finished { done, report })
        })
        .await
    }
}

/// The keys, and what needs them.
struct Report {
    /// Those configured here, the one that seals first.
    configured: Vec<KeyId>,
    survey: Survey,
}

impl Report {
    async fn make(database: &Database) -> Result<Self, Failure> {
        let survey = survey(database.store(), database.now()).await;
        Ok(Self {
            configured: database.vault().key_ids(),
            survey: survey.map_err(|error| database.failed(&error))?,
        })
    }

    /// Every key that anything speaks of: configured ones first, then unknown ones, then what names none.
    fn keys(&self) -> Vec<Option<KeyId>> {
        let mut keys: Vec<_> = self.configured.iter().copied().map(Some).collect();
        let of_nodes = self.survey.nodes.iter().flat_map(|node| &node.keys);
        let met = of_nodes.copied().map(Some);
        for key in met.chain(self.survey.values.keys().map(|(key, _)| *key)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.sort_by_key(Option::is_none);
        keys
    }

    fn role(&self, key: Option<KeyId>) -> &'static str {
        match self.configured.iter().position(|id| Some(*id) == key) {
            Some(0) => "seals",
            Some(_) => "opens",
            None if key.is_none() => "unnamed",
            None => "missing",
        }
    }

    fn sealing(&self, key: Option<KeyId>) -> usize {
        key.map_or(0, |key| self.survey.sealing_with(key).count())
    }

    /// The keys that open, and that nothing needs any more.
    fn unneeded(&self) -> Vec<String> {
        let unnamed = self.survey.under(None);
        let older = self.configured.iter().skip(1);
        older
            .filter(|key| {
                let key = Some(**key);
                unnamed == 0 && self.survey.under(key) == 0 && self.sealing(key) == 0
            })
            .map(ToString::to_string)
            .collect()
    }

    fn to_json(&self) -> Value {
        let keys = self.keys().into_iter().map(|key| {
            let of_key = self.survey.values.iter().filter(|((k, _), _)| *k == key);
            let kinds = of_key.map(|((_, kind), count)| (kind.to_string(), json!(count)));
            json!({
                "id": key.map(|key| key.to_string()),
                "role": self.role(key),
                "values": self.survey.under(key),
                "kinds": kinds.collect::<serde_json::Map<_, _>>(),
                "serversSealing": self.sealing(key),
            })
        });
        json!({
            "keys": keys.collect::<Vec<_>>(),
            "servers": self.survey.nodes.len(),
            "unneeded": self.unneeded(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["KEY", "ROLE", "VALUES", "OF WHICH", "SERVERS SEALING"]);
        for key in self.keys() {
            let of_key = self.survey.values.iter().filter(|((k, _), _)| *k == key);
            let kinds: Vec<_> = of_key.map(|((_, kind), n)| format!("{n} {kind}")).collect();
            table.row([
                key.map_or_else(|| "(no id)".to_owned(), |key| key.to_string()),
                self.role(key).to_owned(),
                self.survey.under(key).to_string(),
                kinds.join(", "),
                self.sealing(key).to_string(),
            ]);
        }
        write!(f, "{table}")?;
        for key in self.unneeded() {
            write!(
                f,
                "\nNothing needs {key} any more: take it out on every server."
            )?;
        }
        Ok(())
    }
}

/// What a rotation did.
struct Finished {
    done: Rotated,
    report: Report,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.report.configured.first();
        let key = key.map(ToString::to_string).unwrap_or_default();
        writeln!(f, "{}", self.report)?;
        write!(
            f,
            "{} values were sealed anew; all {} are under {key} now.",
            self.done.resealed,
            self.report.survey.count()
        )
    }
}
