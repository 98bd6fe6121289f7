//! A crash leaves no core dump, which would have every key in it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use crate::program::{Server, client, heliostat};

/// What the limit of core dumps of a process is: soft and hard.
fn limit(pid: u32) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let mut words = line.split_whitespace().skip(4);
    (words.next().unwrap().into(), words.next().unwrap().into())
}

fn dumps(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("core"))
        .collect()
}

/// Starts a server that may dump as much as it likes, aborts it, and tells its limits, whether it dumped by its status, and by
/// what lies in its folder.
async fn crash(settings: &[(&str, &str)]) -> ((String, String), bool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("heliostat.db").display());
    let mut env = vec![("HELIOSTAT_DATABASE".to_owned(), database)];
    env.extend(
        settings
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
    );
    let http = client().build().unwrap();
    let log = folder.path().join("server.log");
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -c unlimited; exec \"$0\" serve --listen 127.0.0.1:0",
        ])
        .arg(heliostat(&env).get_program())
        .envs(env)
        .current_dir(folder.path());
    let server = Server::start_as(command, &log, &http).await;
    let limits = limit(server.pid());
    server.signal("ABRT");
    let status = server.end().await;
    assert_eq!(status.signal(), Some(6), "{status}");
    (limits, status.core_dumped(), dumps(folder.path()))
}

/// Whether this machine dumps at all, into the folder of a process.
fn machine_dumps() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("sh")
        .args(["-c", "ulimit -c unlimited && kill -ABRT $$"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    status.core_dumped() && !dumps(folder.path()).is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core_dump_unless_wanted() {
    let zero = ("0".to_owned(), "0".to_owned());
    assert_eq!(crash(&[]).await, (zero, false, Vec::new()));

    let ((soft, hard), dumped, files) = crash(&[("HELIOSTAT_CORE_DUMPS", "true")]).await;
    assert_eq!((soft.as_str(), hard.as_str()), ("unlimited", "unlimited"));
    // Where nothing ever dumps, as where dumps go to a collector that is not there, only the limits can be seen.
    if machine_dumps() {
        assert!(dumped && files.len() == 1, "{files:?}");
    } else {
        println!("this machine dumps nothing into folders: the switch is seen by its limits alone");
    }
}
