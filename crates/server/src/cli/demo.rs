//! `heliostat demo`: the whole loop in one process, with nothing set up and nothing left behind.
//!
//! Everything a device or a backend does here goes over HTTP, as from a real app; only the instance and its credentials
//! are made directly, as `heliostat instance create` does.

mod device;
mod hand;
mod place;
mod screen;
mod stage;
mod story;
mod watcher;

use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::signals::until_stopped;
use screen::Screen;
use stage::Stage;

/// Show the whole loop on this machine: server, emulators, devices, publishes. Needs nothing set up.
///
/// Starts the server and emulators of APNs, FCM and a Web Push service, registers an iPhone, an Android phone and a browser,
/// binds them to a user, and publishes to the user and to an interest. Then it stays, and shows what you publish by
/// hand. Nothing is kept.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the server listens; otherwise 127.0.0.1:8080, or a free port if that is taken.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// End after the loop: exit code 0 if every notification arrived.
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let screen = Screen::new();
        let mut hung_up = signal(SignalKind::hangup())
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        until_stopped(async |stop| {
            let stage = Stage::set(self.listen, &screen).await?;
            let played = tokio::select! {
                played = self.play(&stage, &screen) => played,
                () = stop.cancelled() => screen.text("\nStopping."),
                // The terminal was closed: there is nobody to tell, but something to clear away.
                _ = hung_up.recv() => Ok(()),
            };
            stage.clear().await;
            played
        })
        .await
    }

    async fn play(&self, stage: &Stage, screen: &Screen) -> Result<(), Failure> {
        let mut watcher = stage.watch();
        story::tell(stage, &mut watcher, screen).await?;
        if self.once {
            return Ok(());
        }
        hand::explain(stage, screen)?;
        watcher.show_all(screen).await
    }
}
