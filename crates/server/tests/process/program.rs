//! The `heliostat` program as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use tokio::time::Instant;

/// Generous: a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// Waits until `ask` has an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the server at `url` has nothing left to deliver.
pub(crate) async fn dry(http: &reqwest::Client, url: &str) {
    let metrics = format!("{url}/metrics");
    until("all deliveries to have their end", async || {
        let answer = http.get(&metrics).send().await.ok()?;
        let text = answer.text().await.ok()?;
        let none = |name: &str| text.lines().any(|line| line == format!("{name} 0"));
        (none("heliostat_queue_jobs") && none("heliostat_queue_retries")).then_some(())
    })
    .await;
}

/// What the tests call servers with, to be built.
pub(crate) fn client() -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
    reqwest::Client::builder().no_proxy()
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_heliostat");

pub(crate) fn heliostat(env: &[(String, String)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.envs(env.iter().cloned()).stdin(Stdio::null());
    command
}

/// Runs a command that manages, to its end. What it printed.
pub(crate) fn manage(env: &[(String, String)], arguments: &[&str]) -> String {
    let mut command = heliostat(env);
    command.args(arguments);
    printed(command, arguments)
}

/// Runs a command to its end. What it printed.
pub(crate) fn printed(mut command: Command, arguments: &[&str]) -> String {
    let output = command.output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "heliostat {arguments:?}: {problem}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    /// Without a slash at the end.
    pub(crate) url: String,
}

impl Server {
    /// Starts `heliostat serve` on a free port and waits until it is ready.
    pub(crate) async fn start(
        env: &[(String, String)],
        log: &Path,
        http: &reqwest::Client,
    ) -> Self {
        let mut command = heliostat(env);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self::start_as(command, log, http).await
    }

    /// The same with a command that comes to that.
    pub(crate) async fn start_as(mut command: Command, log: &Path, http: &reqwest::Client) -> Self {
        let file = File::create(log).unwrap();
        // All that it says is in one file.
        let said = file.try_clone().unwrap();
        let child = command.stdout(said).stderr(file).spawn().unwrap();
        let mut server = Self {
            child,
            log: log.to_owned(),
            url: String::new(),
        };
        server.url = until("the server to say where it listens", async || {
            server.listening_on()
        })
        .await;
        let ready = format!("{}/readyz", server.url);
        until("the server to be ready", async || {
            http.get(&ready)
                .send()
                .await
                .ok()
                .filter(|answer| answer.status().is_success())
        })
        .await;
        server
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn listening_on(&mut self) -> Option<String> {
        let ended = self.child.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "the server ended: {ended:?}: {}",
            self.log()
        );
        let log = self.log();
        let (_, after) = log.split_once("listening on http://")?;
        let address: String = after
            .chars()
            .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
            .collect();
        // A line that is still being written has no end yet.
        after
            .len()
            .gt(&address.len())
            .then(|| format!("http://{address}"))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it between two instructions, as a power cut or `kill -9` would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as TERM.
    pub(crate) fn signal(&self, name: &str) {
        let (name, pid) = (format!("-{name}"), self.pid().to_string());
        let sent = Command::new("kill").args([name, pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> ExitStatus {
        until("the server to end", async || self.ended()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and its status is just taken.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
