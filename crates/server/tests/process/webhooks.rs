//! `kill -9` between an answer and the webhook that is told of it: what was answered is told once the server is back.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpListener;

use crate::program::{PATIENCE, Server, client, manage};

const INSTANCE: &str = "0d0c7f4e-3a51-4a39-9d0e-6b7c5f1a2b3c";
const DEVICES: usize = 20;

/// Takes one request and answers it; the device that it tells of.
async fn told(listener: &TcpListener) -> String {
    let (tcp, _) = listener.accept().await.unwrap();
    let mut io = BufStream::new(tcp);
    let mut length = 0;
    loop {
        let mut line = String::new();
        io.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    io.read_exact(&mut body).await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    io.write_all(answer).await.unwrap();
    io.flush().await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["payload"]["device_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_webhooks_are_to_be_told_outlives_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let database = format!("sqlite:{}", directory.path().join("heliostat.db").display());
    let mut env = vec![
        ("HELIOSTAT_DATABASE".to_owned(), database),
        (
            "HELIOSTAT_OUTBOUND_ALLOW".to_owned(),
            "127.0.0.0/8".to_owned(),
        ),
    ];
    manage(
        &env,
        &["instance", "create", "--name", "crash", "--id", INSTANCE],
    );
    let event = "v1.DeviceRegistered";
    manage(
        &env,
        &[
            "webhook",
            "add",
            "--instance",
            INSTANCE,
            "--url",
            &url,
            "--event",
            event,
        ],
    );

    // It takes calls and tells nobody, so all of it waits when it is killed.
    env.push(("HELIOSTAT_ROLES".to_owned(), "api".to_owned()));
    let log = directory.path().join("server.log");
    let http = client().build().unwrap();
    let server = Server::start(&env, &log, &http).await;
    let path = format!(
        "{}/device_api/v1/instances/{INSTANCE}/devices/fcm",
        server.url
    );
    let mut answered = BTreeSet::new();
    for number in 0..DEVICES {
        let body = json!({"token": format!("token-{number}")});
        let answer = http.post(&path).json(&body).send().await.unwrap();
        let device: Value = answer.error_for_status().unwrap().json().await.unwrap();
        answered.insert(device["id"].as_str().unwrap().to_owned());
    }
    server.kill();

    env.pop();
    let server = Server::start(&env, &log, &http).await;
    let mut seen = BTreeSet::new();
    let everything = async {
        while seen.len() < DEVICES {
            seen.insert(told(&listener).await);
        }
    };
    tokio::time::timeout(PATIENCE, everything).await.unwrap();
    assert_eq!(seen, answered);
    server.kill();
}
