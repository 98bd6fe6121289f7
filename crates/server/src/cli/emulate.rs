//! `heliostat emulate`: the gateways' emulators as a program of their own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use domain::clock::SystemClock;
use emulator::{Config, Emulators, Gateway};

use super::failure::Failure;
use super::signals::until_stopped;

/// Run emulators of APNs, FCM and a Web Push service to develop against.
///
/// They speak TLS and HTTP/2 with a certificate authority of their own, check what the real services check, and print
/// one JSON line for each notification on standard output. `. DIR/env.sh` points a `heliostat serve` in the same shell
/// at them.
#[derive(Debug, Args)]
pub(crate) struct Emulate {
    /// Where APNs listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    apns: SocketAddr,
    /// Where the sandbox of APNs listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    apns_sandbox: SocketAddr,
    /// Where FCM and Google's token endpoint listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    fcm: SocketAddr,
    /// Where the Web Push service listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    web_push: SocketAddr,
    /// Where a Firefox connects to the Web Push service, by WebSocket without TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    browser: SocketAddr,
    /// Where the control API listens, plain http without credentials: keep it on this machine.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// The directory for ca.pem, AuthKey.p8, service-account.json and env.sh. Kept files are used again.
    #[arg(long, value_name = "DIR", default_value = "heliostat-emulators")]
    out: PathBuf,
}

impl Emulate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = Config {
            apns: self.apns,
            apns_sandbox: self.apns_sandbox,
            fcm: self.fcm,
            web_push: self.web_push,
            browser: self.browser,
            control: self.control,
            out: self.out,
        };
        until_stopped(async |stop| {
            let stopped = stop.cancelled_owned();
            let stdout = std::io::stdout();
            emulator::run_until(config, Arc::new(SystemClock), announce, stopped, stdout)
                .await
                .map_err(|error| Failure::new(format!("the emulators cannot run: {error}")))
        })
        .await
    }
}

fn announce(emulators: &Emulators) {
    let env = emulators.ca_file().with_file_name("env.sh");
    let lines = [
        ("APNs", emulators.url(Gateway::Apns)),
        ("APNs sandbox", emulators.url(Gateway::ApnsSandbox)),
        ("FCM", emulators.url(Gateway::Fcm)),
        ("Web Push", emulators.url(Gateway::WebPush)),
        (
            "for a Firefox",
            format!("dom.push.serverURL = {}", emulators.browser_url()),
        ),
        ("control API", emulators.control_url()),
        ("CA", emulators.ca_file().display().to_string()),
        ("APNs key", emulators.apns_key_file().display().to_string()),
        (
            "FCM account",
            emulators.service_account_file().display().to_string(),
        ),
    ];
    let mut stderr = std::io::stderr().lock();
    // If nobody reads this, the emulators are still of use.
    let _ = writeln!(stderr, "The gateways are emulated here:");
    for (what, place) in lines {
        let _ = writeln!(stderr, "  {what:14}{place}");
    }
    let _ = writeln!(
        stderr,
        "To point a server at them:\n  . '{}'\n  heliostat serve\n\
         One JSON line per notification follows on standard output. Ctrl-C stops.",
        env.display()
    );
}
