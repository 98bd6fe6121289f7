//! What each scope may do: every call that is described, with every kind of token.

use domain::admin_token::{Reach, Right, Scope};
use domain::instance::InstanceId;
use http::Method;
use serde_json::json;

use super::{call, for_one, token_with};
use crate::support::Server;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Need {
    Any,
    Read,
    Write,
    ReadAll,
    Full,
}

fn need(method: &Method, path: &str) -> Need {
    if path.contains("/admin-tokens") || (path.ends_with("/{instance}") && method == Method::DELETE)
    {
        return Need::Full;
    }
    if !path.contains("{instance}") {
        return match (method, path) {
            (&Method::GET, "/admin_api/v1/instances") => Need::Any,
            (&Method::GET, _) => Need::ReadAll,
            _ => Need::Full,
        };
    }
    // What is exported is written down.
    if method == Method::GET && !path.ends_with("/export") {
        Need::Read
    } else {
        Need::Write
    }
}

/// Kinds of tokens, and what each may do in the instance `mine`.
fn kinds(mine: InstanceId, other: InstanceId) -> [(&'static str, Scope, &'static [Need]); 5] {
    let read_all = Scope {
        reach: Reach::All,
        right: Right::Read,
    };
    [
        (
            "full",
            Scope::FULL,
            &[
                Need::Any,
                Need::Read,
                Need::Write,
                Need::ReadAll,
                Need::Full,
            ][..],
        ),
        (
            "all, read",
            read_all,
            &[Need::Any, Need::Read, Need::ReadAll],
        ),
        (
            "one, write",
            for_one(mine, Right::Write),
            &[Need::Any, Need::Read, Need::Write],
        ),
        (
            "one, read",
            for_one(mine, Right::Read),
            &[Need::Any, Need::Read],
        ),
        ("another, write", for_one(other, Right::Write), &[Need::Any]),
    ]
}

#[tokio::test]
async fn every_call_with_every_scope() {
    let server = Server::start().await;
    let (mine, other) = (server.instance().await, server.instance().await);
    let tokens = kinds(mine.id, other.id);
    let description = server.get("/openapi.json").await.ok().json();
    let (mut calls, mut refused) = (0, 0);
    for (name, scope, may) in tokens {
        let token = token_with(&server, scope).await;
        for (path, item) in description["paths"].as_object().unwrap() {
            if !path.starts_with("/admin_api/") {
                continue;
            }
            for method in item.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let need = need(&method, path);
                if method == Method::DELETE && need == Need::Full && may.contains(&need) {
                    // It would take away what the others need.
                    continue;
                }
                let concrete = concrete(path, &mine.id.to_string());
                let body = json!({"nothing": "of use"});
                let reply = call(&server, &token, method.clone(), &concrete, &body).await;
                let what = format!("{name}: {method} {path}");
                if may.contains(&need) {
                    assert!(
                        ![401, 403].contains(&reply.status.as_u16()),
                        "{what}: {}",
                        reply.status
                    );
                } else {
                    assert_eq!(reply.status, 403, "{what}");
                    refused += 1;
                }
                calls += 1;
            }
        }
    }
    assert!(calls > 150 && refused > 60, "{refused} of {calls}");
}

/// A path with names of nothing, but for the instance.
pub(super) fn concrete(path: &str, instance: &str) -> String {
    path.trim_start_matches("/admin_api/v1")
        .replace("{instance}", instance)
        .replace("{number}", "987654")
        .replace("{platform}", "fcm")
        .replace("{device}", "fcm-00000000-0000-4000-8000-000000000000")
        .replace("{user}", "nobody")
        .replace("{publish}", "pubid-00000000-0000-4000-8000-000000000000")
        .replace("{webhook}", "00000000-0000-4000-8000-000000000000")
        .replace("{delivery}", "00000000-0000-4000-8000-000000000000")
}

#[tokio::test]
async fn refusals_do_not_tell_which_instances_there_are() {
    let server = Server::start().await;
    let (mine, other) = (server.instance().await, server.instance().await);
    let token = token_with(&server, for_one(mine.id, Right::Write)).await;
    let of = async |id: String| {
        let path = format!("/instances/{id}");
        let reply = super::read(&server, &token, &path).await;
        let (error, why) = reply.refused(403);
        (error.to_owned(), why.to_owned())
    };
    let unknown = domain::instance::InstanceId::random();
    assert_eq!(
        of(other.id.to_string()).await,
        of(unknown.to_string()).await
    );
    let listed = super::read(&server, &token, "/instances").await.ok().json();
    let listed = listed["instances"].as_array().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], mine.id.to_string());
}
