//! `heliostat migrate` from SQLite to PostgreSQL, killed on the way, and back.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::postgres::Postgres;
use crate::program::{heliostat, until};

const DEVICES: usize = 12_000;
const INSTANCE: &str = "5e1d2b3c-5f0f-4a55-8f0e-0d4c1b1f9a37";

/// A directory with a SQLite database in it, and programs run there.
struct Place {
    directory: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Place {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = heliostat(&self.env);
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn export(&self, database: &str) -> Vec<String> {
        let exported = self.ok(&[
            "export",
            "devices",
            "--instance",
            INSTANCE,
            "--database",
            database,
        ]);
        exported.lines().map(str::to_owned).collect()
    }
}

fn filled() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let master_key = "aGVsaW9zdGF0LWNsdXN0ZXItdGVzdC1tYXN0ZXItMDE=";
    let env = vec![("HELIOSTAT_MASTER_KEY".to_owned(), master_key.to_owned())];
    let place = Place { directory, env };
    place.ok(&["instance", "create", "--name", "moved", "--id", INSTANCE]);
    let lines: String = (0..DEVICES)
        .map(|number| {
            let user = format!("user-{}", number / 2);
            let interests = ["all".to_owned(), format!("topic-{}", number % 100)];
            let line = json!({"platform": "fcm", "token": format!("t{number}"), "userId": user, "interests": interests});
            format!("{line}\n")
        })
        .collect();
    std::fs::write(place.directory.path().join("devices.ndjson"), lines).unwrap();
    place.ok(&[
        "import",
        "devices",
        "--instance",
        INSTANCE,
        "devices.ndjson",
    ]);
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_moves_to_postgres_through_a_kill_and_back() {
    let postgres = Postgres::start().await;
    let place = filled();
    let (from, to) = ("sqlite:heliostat.db", postgres.url());
    let migrate = ["migrate", "--from", from, "--to", &to, "--json"];
    let mut cut_short = place.command(&migrate);
    let mut cut_short = cut_short.stdout(Stdio::null()).spawn().unwrap();
    until("some devices to be there", async || {
        let there = postgres.try_sql("SELECT count(*) FROM devices")?;
        (there.parse::<usize>().unwrap() > 0).then_some(())
    })
    .await;
    cut_short.kill().unwrap();
    cut_short.wait().unwrap();
    let there: usize = postgres
        .sql("SELECT count(*) FROM devices")
        .parse()
        .unwrap();
    assert!(
        there < DEVICES,
        "it was killed too late to be in the middle"
    );

    // Nobody works on what is half full.
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database", &to];
    let output = place.command(&serve).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("not all is there"),
        "{said}"
    );

    let moved: Value = serde_json::from_str(&place.ok(&migrate)).unwrap();
    assert_eq!(moved["kinds"]["devices"]["rows"], DEVICES);
    assert_eq!(moved["kinds"]["subscriptions"]["rows"], 2 * DEVICES);
    assert_eq!(moved["kinds"]["users"]["rows"], DEVICES / 2);
    assert!(
        moved["resumedRows"].as_u64().unwrap() >= there as u64,
        "{moved}"
    );

    // Before anything is exported, which the audit log would tell of.
    let back = ["migrate", "--from", &to, "--to", "sqlite:back.db", "--json"];
    let back: Value = serde_json::from_str(&place.ok(&back)).unwrap();
    assert_eq!(
        back["kinds"], moved["kinds"],
        "the sums are the same wherever it is"
    );
    let exported = place.export(from);
    assert_eq!(exported.len(), DEVICES);
    assert!(
        place.export(&to) == exported,
        "PostgreSQL has something else"
    );
    assert!(
        place.export("sqlite:back.db") == exported,
        "SQLite has something else"
    );
}
