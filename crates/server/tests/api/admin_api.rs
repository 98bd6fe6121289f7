//! `/admin_api/v1`

mod audit_log;
mod credentials;
mod devices;
mod export;
mod insights;
mod instances;
mod privacy;
mod publishes;
mod retention;
mod scopes;
mod secret_keys;
mod tokens;
mod users;

use std::collections::BTreeSet;

use domain::admin_token::{AdminTokenName, Reach, Right, Scope};
use domain::instance::InstanceId;
use http::Method;
use serde_json::Value;
use server::admin::actor::Actor;
use server::admin::tokens::{New, create};

use crate::support::{JSON, Reply, Server};

/// A token in the clear.
pub(crate) async fn token_with(server: &Server, scope: Scope) -> String {
    let new = New {
        name: AdminTokenName::parse("a test").unwrap(),
        scope,
        expires_at: None,
    };
    let created = create(server.app.admin(), &Actor::CommandLine, new);
    created.await.unwrap().token.to_string()
}

pub(crate) async fn full(server: &Server) -> String {
    token_with(server, Scope::FULL).await
}

fn for_one(instance: InstanceId, right: Right) -> Scope {
    Scope {
        reach: Reach::Some(BTreeSet::from([instance])),
        right,
    }
}

/// Calls the admin API with a token; a body of `null` is none.
pub(crate) async fn call(
    server: &Server,
    token: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> Reply {
    let authorization = format!("Bearer {token}");
    let headers = [JSON, ("Authorization", authorization.as_str())];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let path = format!("/admin_api/v1{path}");
    server.send(method, &path, &headers, body).await
}

/// Reads something with a token.
pub(crate) async fn read(server: &Server, token: &str, path: &str) -> Reply {
    call(server, token, Method::GET, path, &Value::Null).await
}
