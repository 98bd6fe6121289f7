//! The emulators as a command: run until told to stop, one JSON line per notification.
//!
//! Owns the writing of lines and nothing about their content. The writer has a thread of its own, so that a slow pipe
//! does not hold the gateways up. Invariant: when it returns, all that arrived before the stop has been written, or a
//! line says how much was lost.

use std::io::Write;
use std::sync::Arc;

use domain::clock::Clock;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::{Config, Emulators, Error, Notification, start};

/// Starts the emulators, calls `ready`, writes one JSON line per notification to `out` until `shutdown` is ready, and
/// stops them. Ends early, with an error, if `out` cannot be written.
///
/// # Errors
/// As [`start`], and [`Error::Output`].
pub async fn run_until<W>(
    config: Config,
    clock: Arc<dyn Clock>,
    ready: impl FnOnce(&Emulators),
    shutdown: impl Future<Output = ()>,
    out: W,
) -> Result<(), Error>
where
    W: Write + Send + 'static,
{
    let emulators = start(config, clock).await?;
    let notifications = emulators.subscribe();
    let mut writer = tokio::task::spawn_blocking(move || write_lines(notifications, out));
    ready(&emulators);
    tokio::select! {
        () = shutdown => {}
        written = &mut writer => {
            emulators.stop().await;
            return written.unwrap_or(Ok(()));
        }
    }
    emulators.stop().await;
    writer.await.unwrap_or(Ok(()))
}

/// Writes one JSON line per notification until the stream ends. Blocks: give it a thread. A writer that is slower
/// than the stream says how many it lost in a line `{"lost":N}`.
///
/// # Errors
/// [`Error::Output`] if `out` cannot be written.
pub fn write_lines<W: Write>(
    mut notifications: broadcast::Receiver<Arc<Notification>>,
    mut out: W,
) -> Result<(), Error> {
    loop {
        let next = match notifications.try_recv() {
            Ok(notification) => Ok(notification),
            Err(TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => {
                out.flush().map_err(Error::Output)?;
                notifications.blocking_recv()
            }
        };
        let mut line = match next {
            Ok(notification) => {
                serde_json::to_vec(&*notification).map_err(|error| Error::Output(error.into()))?
            }
            Err(RecvError::Lagged(lost)) => format!(r#"{{"lost":{lost}}}"#).into_bytes(),
            Err(RecvError::Closed) => return out.flush().map_err(Error::Output),
        };
        line.push(b'\n');
        out.write_all(&line).map_err(Error::Output)?;
    }
}
