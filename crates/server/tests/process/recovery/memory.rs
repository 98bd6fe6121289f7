//! No memory is left: the kernel ends the process between two instructions.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use super::{PLOT, all_are_delivered};
use crate::program::Server;
use crate::stage::{Answer, Stage};
use crate::surroundings::Surroundings;

const ROUNDS_MAX: usize = 200;
const PUBLISHES_AT_ONCE: usize = 16;
const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn an_end_for_want_of_memory_loses_nothing() {
    // A control group is root's to make; for everybody else the test sends the signal that the kernel would send.
    let cage = Cage::make();
    let surroundings = cage.as_ref().map(Cage::surroundings).unwrap_or_default();
    let (stage, mut server) = Stage::set_in(&PLOT, surroundings).await;
    let mut answered = vec![stage.publish(&server).await.unwrap()];
    for round in 0.. {
        let mut publishing = JoinSet::new();
        for _ in 0..PUBLISHES_AT_ONCE {
            publishing.spawn(stage.ask(&server));
        }
        match &cage {
            Some(cage) => cage.squeeze(),
            None if round > 0 => server.signal("KILL"),
            None => (),
        }
        for answer in publishing.join_all().await {
            if let Answer::Taken(publish) = answer {
                answered.push(publish);
            }
        }
        if ended_by_the_kernel(&mut server, cage.as_ref()) {
            break;
        }
        assert!(round < ROUNDS_MAX, "it lives on nothing: {}", server.log());
    }
    if let Some(cage) = &cage {
        cage.open();
    }
    server = stage.serve().await;
    answered.push(stage.publish(&server).await.unwrap());
    all_are_delivered(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}

/// Whether it has ended; in a cage, whether the kernel says that it was for want of memory.
fn ended_by_the_kernel(server: &mut Server, cage: Option<&Cage>) -> bool {
    let Some(status) = server.ended() else {
        return false;
    };
    assert_eq!(status.signal(), Some(SIGKILL), "{}", server.log());
    assert!(cage.is_none_or(Cage::has_killed), "somebody else killed it");
    true
}

/// A control group for memory, of either version, that ends with this.
struct Cage {
    folder: PathBuf,
    files: &'static Files,
}

/// What the kernel calls the same in its two versions.
struct Files {
    root: &'static str,
    limit: &'static str,
    used: &'static str,
    told: &'static str,
    no_limit: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        used: "memory.current",
        told: "memory.events",
        no_limit: "max",
    },
    Files {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        told: "memory.oom_control",
        no_limit: "-1",
    },
];

impl Cage {
    fn make() -> Option<Self> {
        VERSIONS.iter().find_map(|files| {
            let name = format!("heliostat-test-{}", std::process::id());
            let folder = Path::new(files.root).join(name);
            fs::create_dir(&folder).ok()?;
            let cage = Self { folder, files };
            // In the hierarchy of another controller there is no such file.
            cage.write(files.limit, files.no_limit)
                .is_ok()
                .then_some(cage)
        })
    }

    /// What is started in these is in the cage, all of its life.
    fn surroundings(&self) -> Surroundings {
        let enter = r#"echo $$ >"$0/cgroup.procs" && exec "$@""#;
        let folder = self.folder.to_str().unwrap();
        Surroundings {
            prefix: ["sh", "-c", enter, folder].map(str::to_owned).to_vec(),
            ..Surroundings::default()
        }
    }

    /// Takes what is free, and what the kernel can take back of the rest; half where the kernel takes that and kills.
    fn squeeze(&self) {
        let used: u64 = self.read(self.files.used).trim().parse().unwrap();
        let mut limit = used;
        // The first version refuses what it cannot take back, the second kills for it.
        while limit > used / 2 && self.write(self.files.limit, &limit.to_string()).is_ok() {
            limit -= limit / 50;
        }
    }

    fn open(&self) {
        self.write(self.files.limit, self.files.no_limit).unwrap();
    }

    fn has_killed(&self) -> bool {
        let told = self.read(self.files.told);
        let kills = told.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|kills| kills != "0")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        // Not made where it is missing.
        let mut file = File::options().write(true).open(self.folder.join(file))?;
        file.write_all(value.as_bytes())
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // Stays, empty, where a process is left in it.
        let _ = fs::remove_dir(&self.folder);
    }
}
