//! Runs the real program in a directory of its own, with nothing of this machine's environment.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Generous: these machines are shared.
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory with a database in it, and the program run there.
pub(crate) struct Place {
    directory: TempDir,
    env: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let temporary = directory.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let env = vec![("TMPDIR".to_owned(), temporary.to_str().unwrap().to_owned())];
        Self { directory, env }
    }

    /// Sets a variable for the programs run from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What temporary files are left.
    pub(crate) fn temporary(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.path("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heliostat"));
        command
            .args(words)
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(self.directory.path());
        command
    }

    /// Runs the program to its end, with `input` on its standard input.
    pub(crate) fn run_with(&self, words: &[&str], input: &str) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs the program, which must succeed and complain of nothing. What it printed.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.ok_with(words, "")
    }

    pub(crate) fn ok_with(&self, words: &[&str], input: &str) -> String {
        let output = self.run_with(words, input);
        let stderr = text(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{words:?}: {} {stderr}",
            output.status
        );
        text(&output.stdout)
    }

    /// As [`Place::ok`], with `--json`.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut words = words.to_vec();
        words.push("--json");
        serde_json::from_str(&self.ok(&words)).unwrap()
    }

    /// Runs the program, which must fail with this exit code and exactly one line. The line.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        self.fails_with(code, words, "")
    }

    pub(crate) fn fails_with(&self, code: i32, words: &[&str], input: &str) -> String {
        let output = self.run_with(words, input);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {stdout}{stderr}"
        );
        assert_eq!(stdout, "", "{words:?}");
        let line = stderr
            .strip_suffix('\n')
            .unwrap_or_else(|| panic!("{words:?}: {stderr:?}"));
        assert!(
            line.starts_with("heliostat: ") && !line.contains('\n'),
            "{words:?}: {stderr:?}"
        );
        line.to_owned()
    }

    /// Asks until the answer is yes.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        // Each try runs the program, so this is minutes.
        assert!((0..5000).any(|_| holds(self)), "never: {what}");
    }

    /// Creates an instance. Its id and its secret key.
    pub(crate) fn instance(&self) -> (String, String) {
        let created = self.json(&["instance", "create", "--name", "shop"]);
        (
            created["id"].as_str().unwrap().to_owned(),
            created["secretKey"].as_str().unwrap().to_owned(),
        )
    }

    /// One with an instance of 300 devices, three to a user. The id of the instance.
    pub(crate) fn filled() -> (Self, String) {
        let place = Self::new();
        let (id, _) = place.instance();
        let lines: String = (0..300)
            .map(|number| {
                let user = format!("user-{}", number / 3);
                let line = json!({"platform": "fcm", "token": format!("t{number}"), "userId": user, "interests": ["a", "b"]});
                format!("{line}\n")
            })
            .collect();
        place.ok_with(&["import", "devices", "--instance", &id, "-"], &lines);
        (place, id)
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        Running::new(self.command(words))
    }

    /// Starts a server on a free port. Returns it with its URL.
    pub(crate) fn serve(&self) -> (Running, String) {
        let mut server = self.start(&["serve", "--listen", "127.0.0.1:0"]);
        let line = server.stderr_line(|line| line.contains("listening on "));
        let (_, url) = line.split_once("listening on ").unwrap();
        let url: String = url
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || ":/.".contains(*c))
            .collect();
        (server, url)
    }
}

/// A program that runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits for a line on standard output.
    pub(crate) fn stdout_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        wait_for(&self.stdout, wanted)
    }

    /// Waits for a line on standard error.
    pub(crate) fn stderr_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        wait_for(&self.stderr, wanted)
    }

    /// The next lines on standard output up to the one that is wanted, it included.
    pub(crate) fn stdout_until(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self
                .stdout
                .recv_timeout(PATIENCE)
                .expect("the output goes on");
            seen.push(line.clone());
            if wanted(&line) {
                return seen;
            }
        }
    }

    /// What is still to come on standard output of a program that ends.
    pub(crate) fn stdout_until_end(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        while let Ok(line) = self.stdout.recv_timeout(PATIENCE) {
            seen.push(line);
        }
        seen
    }

    /// Sends a signal, such as TERM.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        // Both streams end with the program; a program that hangs is seen here, not by the whole suite's patience.
        let mut last = Vec::new();
        loop {
            match self.stdout.recv_timeout(PATIENCE) {
                Ok(line) => last.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return self.child.wait().unwrap();
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("still running: {last:?}")
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    receiver
}

fn wait_for(lines: &Receiver<String>, wanted: impl Fn(&str) -> bool) -> String {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if wanted(&line) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("{error}; seen: {seen:#?}"),
        }
    }
}
