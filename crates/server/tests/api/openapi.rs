//! `/openapi.json`

use http::Method;
use serde_json::Value;

use crate::support::{JSON, Server};

async fn description(server: &Server) -> Value {
    let reply = server.get("/openapi.json").await.ok();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let mut json = reply.json();
    // Changes with every release, and says nothing of the API.
    json["info"]["version"] = "0".into();
    // Where this very server is.
    let url = json["servers"][0]["url"].take();
    assert_eq!(url, server.app.url());
    json.as_object_mut().unwrap().remove("servers");
    json
}

#[tokio::test]
async fn the_description_is_as_reviewed() {
    let server = Server::start().await;
    insta::assert_json_snapshot!(description(&server).await);
}

#[tokio::test]
async fn what_is_described_is_there_and_asks_for_a_key() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let description = description(&server).await;
    let mut calls = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        let publish = domain::publish::PublishId::random().to_string();
        let path = path
            .replace("{instance}", &instance.id.to_string())
            .replace("{publish}", &publish)
            .replace("{number}", "1");
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let reply = server.send(method, &path, &[JSON], "{}").await;
            let of_admin = path.starts_with("/admin_api/");
            let (_, why) = reply.refused(if of_admin { 401 } else { 400 });
            assert!(why.contains("Authorization"), "{path}: {why}");
            calls += 1;
        }
    }
    assert_eq!(calls, 48);
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn references(json: &Value, found: &mut Vec<String>) {
        match json {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let server = Server::start().await;
    let description = description(&server).await;
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}
