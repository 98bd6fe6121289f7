//! The options that say which configuration holds.

use std::path::PathBuf;

use clap::Args;
use server::config::{Config, Overrides, environment};

use super::failure::Failure;

/// Where the configuration is and where everything is kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// A file with settings, TOML; config.default.toml has them all.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept: sqlite:PATH or postgres://… [env: HELIOSTAT_DATABASE] [default: sqlite:./heliostat.db].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Settings {
    /// Whether a flag names the database.
    pub(crate) fn names_database(&self) -> bool {
        self.database.is_some()
    }

    /// The configuration: file, environment, then these flags.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        self.load_with(Overrides::default())
    }

    /// The configuration with further flags on top.
    pub(crate) fn load_with(&self, overrides: Overrides) -> Result<Config, Failure> {
        let overrides = Overrides {
            database: self.database.clone(),
            ..overrides
        };
        Config::load(self.config.as_deref(), &environment, overrides)
            .map_err(|error| Failure::new(format!("the configuration cannot be used: {error}")))
    }
}
