//! `heliostat serve`: the server.

use clap::Args;
use server::config::Overrides;
use server::{app, telemetry};

use super::dumps;
use super::failure::Failure;
use super::settings::Settings;
use super::signals::until_stopped;

/// Run the server.
///
/// Settings come from config.default.toml, then the file of --config, then HELIOSTAT_* in the environment, then these
/// options. At the first start the database and the file with the master key that seals its secrets are made. SIGTERM or
/// Ctrl-C stops gracefully; a second one at once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one [env: HELIOSTAT_LISTEN] [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// What the server is called from outside, such as `https://push.example.com` [env: HELIOSTAT_PUBLIC_URL].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// What this node does: api, worker, or both [env: HELIOSTAT_ROLES] [default: api,worker].
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// What is logged: a level, or a filter such as info,gateway=debug [env: HELIOSTAT_LOG_FILTER] [default: info].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Any other setting of config.default.toml by its path, such as retention.publishes_days=7; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Go on with a SQLite database whose write-ahead log was deleted after a crash, if its pages and indexes are sound. What
    /// the log held is lost; docs/OPERATIONS.md says more.
    #[arg(long)]
    accept_lost_log: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut config = self.settings.load_with(Overrides {
            listen: self.listen,
            public_url: self.public_url,
            roles: self.roles,
            log_filter: self.log,
            others: self.set,
            ..Overrides::default()
        })?;
        config.accept_lost_log = self.accept_lost_log;
        telemetry::init(&config.log)
            .map_err(|error| Failure::new(format!("the log cannot be set up: {error}")))?;
        if let Some(line) = dumps::settle(config.core_dumps) {
            tracing::warn!("{line}");
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = config.worker_threads {
            runtime.worker_threads(threads);
        }
        let runtime = runtime
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start threads: {error}")))?;
        runtime.block_on(until_stopped(async |stop| {
            app::run_until(config, stop.cancelled_owned())
                .await
                .map_err(|error| Failure::new(format!("the server cannot run: {error}")))
        }))
    }
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
