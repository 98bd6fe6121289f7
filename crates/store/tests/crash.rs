//! What was answered survives a process that is killed in the middle of its writes.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails by panicking"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, GatewayToken, Platform, Registration};
use domain::instance::{InstanceId, InstanceName};
use domain::interest::InterestName;
use domain::seal::Sealed;
use store::Store;
use store::configuration::Configuration as _;
use store::instances::{NewInstance, NewSecretKey};
use store::sqlite::{SqliteSettings, SqliteStore};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// With this in its environment, the test is the process that is killed, not the one that kills.
const CHILD: &str = "HELIOSTAT_TEST_CHILD";
/// How many answers the parent waits for before it kills.
const ANSWERS: usize = 300;

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteSettings::default())
        .await
        .expect("the database opens")
}

async fn create_instance(store: &SqliteStore) -> InstanceId {
    let id = InstanceId::random();
    let new = NewInstance {
        id,
        name: InstanceName::parse("an app").expect("a name"),
        vapid_public_key: vec![4],
        vapid_private_key: Sealed::from_bytes(vec![1]),
        secret_key: NewSecretKey {
            sealed: Sealed::from_bytes(vec![2]),
            hint: "hint".into(),
            created_at: NOW,
        },
        created_at: NOW,
    };
    store.create_instance(new).await.expect("an instance");
    id
}

/// Registers and subscribes device after device, saying which are done, until it is killed.
async fn write_for_ever(store: &SqliteStore, instance: InstanceId, lane: usize) {
    for number in 0.. {
        let token = format!("fcm:{lane}:{number}");
        let registration = Registration {
            instance,
            token: GatewayToken::parse(Platform::Fcm, &token).expect("a token"),
            bundle_id: None,
            metadata: DeviceMetadata::default(),
        };
        let fresh = DeviceId::random(Platform::Fcm);
        let registered = store.register_device(registration, fresh, None, NOW).await;
        let id = registered.expect("a device").id;
        let interests = ["a", "b", "c"].map(|name| InterestName::parse(name).expect("a name"));
        let set = store
            .set_interests(instance, id, interests.to_vec(), Timestamp::from_secs(0))
            .await;
        assert_eq!(set.expect("set"), store::devices::Changed::Done);
        println!("done {id}");
    }
}

/// The process that is killed: writes into the database that a line on its input names.
async fn be_killed() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("input");
    let (path, id) = line.trim().rsplit_once(' ').expect("a path and an id");
    let id = InstanceId::parse(id).expect("an id");
    let store = open(Path::new(path)).await;
    let lanes = (0..8).map(|lane| write_for_ever(&store, id, lane));
    futures_util::future::join_all(lanes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost() {
    if std::env::var_os(CHILD).is_some() {
        return be_killed().await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heliostat.db");
    let store = open(&path).await;
    let instance = create_instance(&store).await;
    let mut done = Vec::new();
    for _ in 0..2 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "nothing_answered_is_lost", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut input = child.stdin.take().expect("its input");
        writeln!(input, "{} {instance}", path.display()).expect("it listens");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut lines = output.lines().map_while(Result::ok);
        done.extend(answers(&mut lines).take(ANSWERS));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        // What it had said by then counts too.
        done.extend(answers(&mut lines));
    }
    assert!(done.len() >= 2 * ANSWERS, "{} answers", done.len());
    // Through the handle that was open all the while, and through a new one.
    for store in [store, open(&path).await] {
        store.check().await.expect("it works");
        for id in &done {
            let interests = store
                .interests(instance, *id, None, 10)
                .await
                .expect("read");
            assert_eq!(interests.expect("the device is there").interests.len(), 3);
        }
    }
    let connection = rusqlite::Connection::open(&path).expect("it opens");
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("it is checked");
    assert_eq!(sound, "ok");
}

/// A killed child may have said half a line.
fn answers(lines: &mut impl Iterator<Item = String>) -> impl Iterator<Item = DeviceId> {
    lines.filter_map(|line| {
        line.split_once("done ")
            .and_then(|(_, id)| DeviceId::parse(id.trim()))
    })
}
