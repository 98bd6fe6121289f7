//! The examples of `docs/PUBLISHING.md`, run as they stand there.

use std::collections::HashMap;

use http::Method;

use super::{devices_of, in_state};
use crate::support::{Instance, Reply, Server};

const DOCUMENT: &str = include_str!("../../../../../docs/PUBLISHING.md");

/// The commands of the document, in order.
fn commands() -> Vec<String> {
    let blocks = DOCUMENT.split("```sh\n").skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .filter(|block| block.starts_with("curl "))
        .map(|block| block.replace("\\\n", " "))
        .collect()
}

/// The words of a command as a shell sees them.
fn words(command: &str, variables: &HashMap<&str, String>) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut rest = command.trim().chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '"' | '\'' if quote.is_none() => quote = Some(char),
            _ if quote == Some(char) => quote = None,
            '$' if quote != Some('\'') => {
                let mut name = String::new();
                while let Some(char) = rest.next_if(|c| c.is_ascii_uppercase() || *c == '_') {
                    name.push(char);
                }
                words
                    .last_mut()
                    .unwrap()
                    .push_str(&variables[name.as_str()]);
            }
            char if char.is_whitespace() && quote.is_none() => words.push(String::new()),
            char => words.last_mut().unwrap().push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

async fn run(server: &Server, words: &[String]) -> Reply {
    let (mut method, mut path, mut body, mut headers) = (Method::GET, None, "", Vec::new());
    let mut words = words.iter().map(String::as_str);
    assert_eq!(words.next(), Some("curl"));
    while let Some(word) = words.next() {
        match word {
            "-X" => method = words.next().unwrap().parse().unwrap(),
            "-H" => headers.push(words.next().unwrap().split_once(": ").unwrap()),
            "-d" | "--data-binary" => body = words.next().unwrap(),
            url => path = Some(url),
        }
    }
    let path = path.unwrap();
    server.send(method, path, &headers, body.to_owned()).await
}

async fn ready(server: &Server, instance: &Instance, command: &str, publish: &str) {
    if command.contains("$PUBLISH") && !command.contains("DELETE") {
        in_state(server, instance, publish, "finished").await;
    }
}

#[tokio::test]
async fn every_example_works() {
    let server = Server::start().await;
    let instance = server.instance().await;
    devices_of(&server, &instance, "alice", 1).await;
    let mut variables = HashMap::from([
        ("URL", String::new()),
        ("INSTANCE", instance.id.to_string()),
        ("KEY", instance.key.reveal().to_owned()),
        ("SEND_AT", "2026-01-01T01:00:00Z".to_owned()),
        ("EXPIRES_AT", "2026-01-01T02:00:00Z".to_owned()),
    ]);
    let mut answers = Vec::new();
    for command in commands() {
        let publish = variables.get("PUBLISH").cloned().unwrap_or_default();
        ready(&server, &instance, &command, &publish).await;
        let words = words(&command, &variables);
        let reply = run(&server, &words).await.ok();
        if command.contains("Idempotency-Key") {
            let again = run(&server, &words).await.ok();
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.body, reply.body);
        }
        let json = reply.json();
        if let Some(id) = json["publishId"].as_str() {
            variables.insert("PUBLISH", id.to_owned());
        }
        answers.push(json);
    }
    assert_eq!(answers.len(), 11, "an example was not found");
    assert!(
        answers[9..]
            .iter()
            .all(|answer| answer["publishId"].is_string())
    );
    assert_eq!(answers[1]["users"][1]["outcome"], "no_devices");
    assert_eq!(answers[2]["publishes"][0]["audience"]["size"], 2);
    assert_eq!(answers[3]["failures"][0]["reason"], "no_credential");
    assert_eq!(answers[7]["state"], "cancelled");
    let counted = answers[8].to_string();
    let shown = DOCUMENT.replace(['\n', ' '], "");
    let expected = r#"{"dryRun":true,"devices":{"apns":0,"fcm":1},"users":{"withDevices":1,"withoutDevices":1}}"#;
    assert!(shown.contains(expected));
    assert_eq!(
        answers[8],
        serde_json::from_str::<serde_json::Value>(expected).unwrap(),
        "{counted}"
    );
}
