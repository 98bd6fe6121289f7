//! The master key is changed while several nodes deliver.

use std::sync::Arc;

use domain::seal::Keyring;
use serde_json::{Value, json};

use crate::postgres::Postgres;
use crate::program::{Server, heliostat};
use crate::stage::{INSTANCE, MASTER_KEY as OLD, Plot, Stage};

const PLOT: Plot = Plot {
    devices: 100,
    page_length: 40,
    latency_ms: 20,
    lease_secs: 30,
};
const CALLERS: usize = 2;
/// 32 other bytes.
const NEW: &str = "YW5vdGhlciBrZXkgb2YgdGhlIGNsdXN0ZXIgdGVzdHM=";
const KINDS: [&str; 6] = [
    "credentials",
    "provider_tokens",
    "publish_webhooks",
    "secret_keys",
    "vapid_keys",
    "webhook_secrets",
];

/// Runs `heliostat master-key`. What it said, or the line on which it failed.
fn master_key(stage: &Stage, keys: &str, command: &str) -> Result<Value, String> {
    let output = heliostat(stage.env())
        .env("HELIOSTAT_MASTER_KEY", keys)
        .args(["master-key", command, "--json"])
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8(output.stderr).unwrap())
}

/// Replaces all nodes one after the other, under load.
async fn roll(stage: &Stage, nodes: &mut [Server], keys: &str) {
    for (place, node) in nodes.iter_mut().enumerate() {
        stage.arrive(PLOT.devices).await;
        let settings = [("HELIOSTAT_MASTER_KEY", keys)];
        let fresh = stage.node_with(place, &settings).await;
        let old = std::mem::replace(node, fresh);
        old.terminate();
        let log = old.log();
        assert!(old.end().await.success(), "{log}");
        assert!(!log.contains("seal"), "{log}");
    }
}

/// Something of every kind that is sealed. The provider tokens come with the first publishes.
async fn fill(stage: &Stage, node: &Server) {
    let add = ["webhook", "add", "--instance", INSTANCE];
    let what = ["--url", "https://app.example/hook"];
    stage.manage(&[&add[..], &what].concat());
    let url = format!(
        "{}/publish_api/v1/instances/{INSTANCE}/publishes/interests",
        node.url
    );
    let tomorrow = std::time::Duration::from_secs(24 * 3600);
    let tomorrow = domain::clock::Clock::now(&domain::clock::SystemClock).after(tomorrow);
    let body = json!({
        "interests": ["nobody"],
        "webhookUrl": "https://app.example/own",
        "sendAt": tomorrow.to_string(),
        "apns": { "aps": { "alert": "Later" } },
    });
    let request = stage.http.post(url).bearer_auth(crate::stage::SECRET_KEY);
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_changes_under_load_and_nothing_is_left_under_the_old_one() {
    let id = |key| Keyring::from_base64(key).unwrap().ids()[0].to_string();
    let (old_first, new_first) = (format!("{OLD},{NEW}"), format!("{NEW},{OLD}"));
    let postgres = Postgres::start().await;
    let stage = Arc::new(Stage::set(PLOT, &postgres.url()).await);
    let mut nodes = stage.nodes::<3>().await;
    fill(&stage, &nodes[0]).await;
    let callers = stage.callers(CALLERS);
    stage.arrive(PLOT.devices).await;

    // Nobody would be able to open it.
    let refused = master_key(&stage, &new_first, "rotate").unwrap_err();
    assert!(
        refused.contains("does not have the master key") && refused.contains(&id(NEW)),
        "{refused}"
    );
    let all = master_key(&stage, OLD, "list").unwrap();
    assert_eq!(all["keys"][0]["serversSealing"], 3, "{all}");
    let kinds: Vec<_> = all["keys"][0]["kinds"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(kinds, KINDS, "{all}");

    // Everybody can open it; but whoever seals something does it under the old one.
    roll(&stage, &mut nodes, &old_first).await;
    let behind = master_key(&stage, &new_first, "rotate").unwrap_err();
    assert!(
        behind.contains("still seals under the master key") && behind.contains(&id(OLD)),
        "{behind}"
    );

    roll(&stage, &mut nodes, &new_first).await;
    let rotated = master_key(&stage, &new_first, "rotate").unwrap();
    assert_eq!(rotated["unneeded"], json!([id(OLD)]), "{rotated}");
    let first = &rotated["keys"][0];
    assert_eq!(
        (&first["id"], &first["role"]),
        (&json!(id(NEW)), &json!("seals"))
    );
    let kinds: Vec<_> = first["kinds"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, KINDS, "{rotated}");
    assert_eq!(rotated["keys"][1]["values"], 0);
    // What the store has, whatever the command says of it: each sealed value begins with its key's id.
    let head = format!("48536b31{}", id(NEW));
    for (table, column) in store::sealing::SealedKind::ALL.map(store::sealing::SealedKind::column) {
        let others = postgres.sql(&format!(
            "SELECT count(*) FROM {table} WHERE substring(encode({column}, 'hex') for 24) <> '{head}'"
        ));
        assert_eq!(others.trim(), "0", "{table}.{column}");
    }

    // The old one is gone everywhere, and everything goes on.
    roll(&stage, &mut nodes, NEW).await;
    stage.arrive(PLOT.devices).await;
    let answered = callers.end().await;
    stage.finished(&answered).await;
    stage.judge(&answered, 0).await;
    for node in &nodes {
        assert!(!node.log().contains("seal"), "{}", node.log());
    }
    let left = master_key(&stage, NEW, "list").unwrap();
    assert_eq!(left["keys"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left["keys"][0]["serversSealing"], 3, "{left}");
}
