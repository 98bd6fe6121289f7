//! When the machine fails: what the server refuses, that it loses nothing it has acknowledged, and that it goes on by itself
//! when the cause is gone. `docs/OPERATIONS.md` tells operators the same.
//!
//! The faults are real where a test may make them: a disk of a few MiB in a mount namespace of its own, limits that the kernel
//! holds the process to, files that are changed or gone. Writes that fail under a running server and a clock that jumps are made
//! by a small library in C that is loaded before the C library. What a fault needs and this machine lacks is an error, not a skip.

mod clock;
mod descriptors;
mod disk;
mod files;
mod memory;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::program::Server;
use crate::stage::{Answer, INSTANCE, Plot, Stage};
use crate::surroundings::Surroundings;

/// Small, since what counts is what becomes of them.
const PLOT: Plot = Plot {
    devices: 60,
    page_length: 20,
    latency_ms: 5,
    stumbling: 20,
    failing: 0,
};

/// Publishes until one is refused; those that were answered 200 are added.
async fn until_refused(stage: &Stage, server: &Server, answered: &mut Vec<String>) -> Answer {
    crate::program::until("a refusal", async || match stage.ask(server).await {
        Answer::Taken(publish) => {
            answered.push(publish);
            None
        }
        refused => Some(refused),
    })
    .await
}

/// Publishes until one is taken: the server goes on by itself.
async fn until_taken(stage: &Stage, server: &Server, answered: &mut Vec<String>) {
    let publish = crate::program::until("a publish to be taken again", async || {
        match stage.ask(server).await {
            Answer::Taken(publish) => Some(publish),
            _ => None,
        }
    });
    answered.push(publish.await);
}

/// Whatever was answered 200 came to every device.
async fn all_are_delivered(stage: &Stage, server: &Server, answered: &[String]) {
    stage.settled(server).await;
    assert!(!answered.is_empty());
    for publish in answered {
        let came = stage.receipts.devices(publish);
        if came != PLOT.devices {
            let show = ["publishes", "show", "--instance", INSTANCE, publish];
            let told = stage.manage(&show);
            panic!(
                "{publish} came to {came} of {}: {told}{}",
                PLOT.devices,
                server.log()
            );
        }
    }
}

async fn status(stage: &Stage, server: &Server, path: &str) -> u16 {
    let url = format!("{}{path}", server.url);
    stage.http.get(url).send().await.unwrap().status().as_u16()
}

/// A server that does not start, which is what a service manager sees: an exit status and one line.
fn does_not_start(stage: &Stage) -> String {
    let ended = stage
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("heliostat: "))
        .collect();
    assert_eq!(complaints.len(), 1, "{said}");
    complaints[0].to_owned()
}

/// A file system of its own, of a size, in a mount namespace that ends with this.
struct Disk {
    holder: Child,
    folder: tempfile::TempDir,
}

impl Disk {
    fn of(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = r#"mount -t tmpfs -o size="$1" tmpfs "$2" && echo ready && exec sleep 900"#;
        let mut holder = Command::new("unshare")
            .args([
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                mount,
                "disk",
                size,
            ])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is needed: util-linux");
        let mut said = String::new();
        let read = BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said);
        assert!(
            read.is_ok() && said == "ready\n",
            "a mount namespace is needed, and cannot be made here"
        );
        Self { holder, folder }
    }

    /// Where programs that run on it have it.
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            prefix: self.enter(),
            env: Vec::new(),
            folder: Some(self.folder.path().to_owned()),
        }
    }

    fn enter(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        let words = [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--mount",
            "-t",
            &pid,
        ];
        words.map(str::to_owned).to_vec()
    }

    fn run(&self, words: &[&str]) {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        let done = command
            .args(&enter[1..])
            .args(words)
            .arg(self.folder.path());
        assert!(done.status().unwrap().success(), "{words:?}");
    }

    /// A file on it, as this test sees it.
    fn path(&self, name: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        let inside = self.folder.path().strip_prefix("/").unwrap();
        Path::new(&root).join(inside).join(name)
    }

    fn fill(&self) {
        let file = File::create(self.path("filler")).unwrap();
        let (block, mut at) = ([0xff; 4096], 0);
        while file.write_all_at(&block, at).is_ok() {
            at += 4096;
        }
    }

    /// Leaves so many bytes.
    fn fill_but(&self, left: u64) {
        self.fill();
        let file = File::options()
            .write(true)
            .open(self.path("filler"))
            .unwrap();
        let filled = file.metadata().unwrap().len();
        file.set_len(filled.checked_sub(left).unwrap()).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.path("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Faults that are switched on and off while a server runs.
struct Faults {
    folder: tempfile::TempDir,
    file: File,
}

impl Faults {
    fn none() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/process/recovery/faults.c"
        );
        let library = folder.path().join("faults.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([library.as_os_str(), source.as_ref(), "-ldl".as_ref()])
            .output()
            .expect("a C compiler is needed");
        assert!(compiled.status.success(), "{compiled:?}");
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(folder.path().join("faults"))
            .unwrap();
        file.write_all_at(&[0; 24], 0).unwrap();
        Self { folder, file }
    }

    fn surroundings(&self) -> Surroundings {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        Surroundings {
            env: vec![
                ("LD_PRELOAD".to_owned(), path("faults.so")),
                ("HELIOSTAT_TEST_FAULTS".to_owned(), path("faults")),
            ],
            ..Surroundings::default()
        }
    }

    /// What writing to the database ends with from now on; 0 is well.
    fn writes_end_with(&self, errno: i64) {
        self.file.write_all_at(&errno.to_ne_bytes(), 0).unwrap();
    }

    /// What forcing the database to disk ends with from now on; 0 is well.
    fn syncs_end_with(&self, errno: i64) {
        self.file.write_all_at(&errno.to_ne_bytes(), 16).unwrap();
    }

    /// How far the wall clock is from the right time, in hours.
    fn clock_is_off_by(&self, hours: i64) {
        let millis = hours * 3_600_000;
        self.file.write_all_at(&millis.to_ne_bytes(), 8).unwrap();
    }
}

/// Holds a running server to a limit of the kernel, such as `--nofile=40:`.
fn limit(server: &Server, limit: &str) {
    let pid = server.pid().to_string();
    let done = Command::new("prlimit")
        .args(["--pid", &pid, limit])
        .status();
    assert!(done.expect("prlimit is needed: util-linux").success());
}
