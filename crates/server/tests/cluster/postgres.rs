//! A PostgreSQL server of one's own: started, killed, and followed by a standby.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::program::until;

/// PostgreSQL does not run as root; `nobody` and `nogroup` are everywhere.
const NOBODY: u32 = 65534;
/// What a server is given. What is lost when the machine dies is not what these tests are about.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'
fsync = off
max_connections = 100
wal_level = replica
hot_standby = on
autovacuum_naptime = 10s
log_min_messages = warning
";

/// Where the programs of PostgreSQL are: HELIOSTAT_TEST_POSTGRES_PROGRAMS, or the newest that Debian has installed.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs a test says on what, not a configuration"
)]
fn programs() -> PathBuf {
    if let Ok(named) = std::env::var("HELIOSTAT_TEST_POSTGRES_PROGRAMS") {
        return PathBuf::from(named);
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = installed
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| version(bin));
    newest.expect("PostgreSQL is installed, or HELIOSTAT_TEST_POSTGRES_PROGRAMS names its programs")
}

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name);
    name.and_then(|name| name.to_str()?.parse().ok())
        .unwrap_or(0)
}

/// Runs as this user may start PostgreSQL.
fn command(program: &str) -> Command {
    let mut command = Command::new(programs().join(program));
    command
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    // The owner of this process's own directory there.
    let own = fs::metadata("/proc/self").unwrap();
    std::os::unix::fs::MetadataExt::uid(&own) == 0
}

/// Runs a program of PostgreSQL to its end.
fn run(program: &str, arguments: &[&str]) {
    let output = command(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A running server. Dropping it kills it.
pub(crate) struct Postgres {
    directory: TempDir,
    child: Child,
    pub(crate) port: u16,
}

impl Postgres {
    /// A new, empty server.
    pub(crate) async fn start() -> Self {
        let directory = directory();
        let data = data(&directory);
        let own = ["-D", &data, "-U", "heliostat", "-A", "trust"];
        run("initdb", &[&own[..], &["-E", "UTF8", "--no-sync"]].concat());
        let conf = Path::new(&data).join("postgresql.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text + SETTINGS).unwrap();
        Self::launch(directory).await
    }

    /// A server that follows this one, and that this one waits for with every commit from now on.
    pub(crate) async fn synchronous_standby(&self) -> Self {
        let directory = directory();
        let (data, port) = (data(&directory), self.port.to_string());
        run(
            "pg_basebackup",
            &[
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "heliostat",
                "-D",
                &data,
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
            ],
        );
        let standby = Self::launch(directory).await;
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        until("the standby to be waited for", async || {
            let states = self.sql("SELECT sync_state FROM pg_stat_replication");
            (states == "sync").then_some(())
        })
        .await;
        standby
    }

    async fn launch(directory: TempDir) -> Self {
        let port = free_port();
        let data = data(&directory);
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = command("postgres")
            .args(["-D", &data, "-k", &data, "-p", &port.to_string()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            directory,
            child,
            port,
        };
        until("PostgreSQL to be there", async || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "PostgreSQL ended: {}", server.log());
            server.try_sql("SELECT 1").map(drop)
        })
        .await;
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Its URL, for nodes.
    pub(crate) fn url(&self) -> String {
        url(&[self.port])
    }

    /// What a statement answers, without headings; the columns of a row with `|` between.
    pub(crate) fn sql(&self, statement: &str) -> String {
        self.try_sql(statement)
            .unwrap_or_else(|| panic!("{statement} failed: {}", self.log()))
    }

    /// The same, where it may fail.
    pub(crate) fn try_sql(&self, statement: &str) -> Option<String> {
        let output = command("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
            ])
            .args([
                "-p",
                &self.port.to_string(),
                "-U",
                "heliostat",
                "-d",
                "postgres",
            ])
            .args(["-c", statement])
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(answer)
    }

    /// Ends the server and all its processes between two instructions.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let children = children(self.child.id());
        let _ = self.child.kill();
        for child in children {
            // Some have ended with their parent.
            let kill = Command::new("kill").args(["-KILL", &child]).output();
            kill.unwrap();
        }
        let _ = self.child.wait();
    }

    /// Makes a standby a primary.
    pub(crate) fn promote(&self) {
        run("pg_ctl", &["promote", "-D", &data(&self.directory)]);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// The URL of whichever of these servers takes writes.
pub(crate) fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!(
        "postgres://heliostat@{}/postgres?target_session_attrs=read-write",
        hosts.join(",")
    )
}

/// One that PostgreSQL may use.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    directory
}

fn data(directory: &TempDir) -> String {
    directory.path().join("data").to_str().unwrap().to_owned()
}

/// The processes that this one started.
fn children(pid: u32) -> Vec<String> {
    let output = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &pid.to_string()])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    listed.split_whitespace().map(str::to_owned).collect()
}
