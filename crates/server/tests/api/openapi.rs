//! `/openapi.json`

use std::collections::BTreeSet;

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

/// The paths that are described, with the methods that each has.
fn described(description: &Value) -> impl Iterator<Item = (&String, BTreeSet<String>)> {
    let paths = description["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        (path, methods.map(|method| method.to_uppercase()).collect())
    })
}

/// A path that its route takes, of an instance that exists.
fn filled(path: &str, instance: &str) -> String {
    let publish = domain::publish::PublishId::random().to_string();
    path.replace("{instance}", instance)
        .replace("{publish}", &publish)
        .replace("{number}", "1")
        .replace("{platform}", "apns")
        .replace("{device}", "apns-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac")
}

/// The router itself says in a 405 which methods a path has.
#[tokio::test]
async fn each_path_takes_the_methods_that_are_described_and_no_others() {
    let server = Server::start().await;
    let instance = server.instance().await.id.to_string();
    let description = description(&server).await;
    let mut calls = 0;
    for (path, mut methods) in described(&description) {
        calls += methods.len();
        let none = Method::from_bytes(b"BREW").unwrap();
        let reply = server.send(none, &filled(path, &instance), &[], "").await;
        reply.refused(405);
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        let allowed = reply.header("allow").unwrap().split(',');
        let allowed: BTreeSet<_> = allowed.map(|method| method.trim().to_owned()).collect();
        assert_eq!(allowed, methods, "{path}");
    }
    assert!(calls > 65, "{calls}");
}

#[tokio::test]
async fn what_asks_for_a_key_is_described_so() {
    let server = Server::start().await;
    let instance = server.instance().await.id.to_string();
    let description = description(&server).await;
    for (path, methods) in described(&description) {
        for method in methods {
            let call = &description["paths"][path][method.to_lowercase()];
            let sent: Method = method.parse().unwrap();
            let reply = server
                .send(sent, &filled(path, &instance), &[JSON], "{}")
                .await;
            let scheme = call["security"][0].as_object();
            let scheme = scheme.and_then(|scheme| scheme.keys().next());
            match scheme.map(String::as_str) {
                Some("secret_key") => {
                    let (_, why) = reply.refused(400);
                    assert!(why.contains("Bearer <secret key>"), "{path}: {why}");
                }
                Some("beams_token") => {
                    let (_, why) = reply.refused(401);
                    assert!(why.contains("Bearer <Beams token>"), "{path}: {why}");
                }
                Some("admin_token") => {
                    let (_, why) = reply.refused(401);
                    assert!(why.contains("Bearer <admin token>"), "{path}: {why}");
                }
                Some(other) => panic!("{path}: {other}"),
                None => assert_ne!(reply.status, 401, "{path}"),
            }
            let status = reply.status.as_u16().to_string();
            assert!(call["responses"].get(&status).is_some(), "{path}: {status}");
        }
    }
}

/// Metrics that have an address of their own are not said to be at the public one.
#[tokio::test]
async fn what_is_elsewhere_is_not_described() {
    let server = Server::start_with(&[("metrics.listen", "127.0.0.1:0")]).await;
    let description = description(&server).await;
    assert!(description["paths"].get("/metrics").is_none());
    assert!(description["paths"].get("/healthz").is_some());
}

#[tokio::test]
async fn every_call_has_an_id_of_its_own_and_a_group_that_is_described() {
    let server = Server::start().await;
    let description = description(&server).await;
    let groups = description["tags"].as_array().unwrap();
    let groups: Vec<_> = groups.iter().map(|group| &group["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for call in item.as_object().unwrap().values() {
            let id = call["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(groups.contains(&&call["tags"][0]), "{path}");
            assert!(!call["summary"].as_str().unwrap().is_empty(), "{path}");
        }
    }
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
