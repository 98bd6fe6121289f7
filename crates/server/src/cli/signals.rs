//! Ctrl-C and SIGTERM: the first asks for a graceful stop, the second ends the process at once.

use std::io::Write as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;

/// By convention 128 and the number of the signal.
const EXIT_INTERRUPTED: i32 = 130;
const EXIT_TERMINATED: i32 = 143;

/// Runs `work`, which is given a token that the first signal cancels.
pub(crate) async fn until_stopped<T>(
    work: impl AsyncFnOnce(CancellationToken) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let cannot = |error| Failure::new(format!("cannot listen for signals: {error}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(cannot)?;
    let stop = CancellationToken::new();
    let mut work = std::pin::pin!(work(stop.clone()));
    loop {
        let code = tokio::select! {
            done = &mut work => return done,
            _ = interrupted.recv() => EXIT_INTERRUPTED,
            _ = terminated.recv() => EXIT_TERMINATED,
        };
        if stop.is_cancelled() {
            let _ = writeln!(std::io::stderr().lock(), "heliostat: stopped at once");
            std::process::exit(code);
        }
        stop.cancel();
    }
}
