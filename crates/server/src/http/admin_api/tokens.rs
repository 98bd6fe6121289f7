//! `/admin_api/v1/admin-tokens`: tokens for this API, made by those who may do everything.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use domain::admin_token::{ADMIN_TOKEN_INSTANCES_MAX, AdminTokenName, Reach, Right, Scope};
use domain::clock::Timestamp;
use domain::instance::InstanceId;
use serde::Serialize;
use serde_json::{Value, json as value};
use store::administration::AdminTokenId;
use utoipa::ToSchema;

use super::Object;
use super::access::Full;
use crate::admin::error::AdminError;
use crate::admin::links::{self, Link};
use crate::admin::tokens::{self, CreatedToken, New, Token};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Fields, JsonObject, Segments, json};
use crate::http::openapi::{InInstance, Refusal};

/// An admin token to be created.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewToken {
    /// What people call it: 1 to 100 bytes.
    name: String,
    /// The UUIDs of the instances that it is for; all without.
    #[schema(max_items = 100)]
    instances: Option<Vec<String>>,
    /// `read`, or `write` for reading and writing; `write` without.
    may: Option<String>,
    /// From when on it counts no more; never without.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// Admin tokens, without the tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    admin_tokens: Vec<Token>,
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/admin-tokens",
    tag = "Admin API: tokens",
    operation_id = "admin_tokens",
    summary = "The admin tokens, without the tokens",
    responses(
        (status = 200, body = Tokens),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
    )
)]
pub(crate) async fn list(State(api): State<Api>, _: Full) -> Result<Response, ApiError> {
    let admin_tokens = tokens::list(api.admin()).await?;
    Ok(json(&Tokens { admin_tokens }))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/admin-tokens",
    tag = "Admin API: tokens",
    operation_id = "admin_create_token",
    summary = "Create an admin token",
    request_body = NewToken,
    responses(
        (status = 200, body = CreatedToken, description = "The only answer that has the token"),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
        (status = 409, body = Refusal, description = "There are too many"),
    )
)]
pub(crate) async fn create(
    State(api): State<Api>,
    Full { actor }: Full,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let name = name(&mut fields)?;
    let expires_at = match fields.optional_text("expiresAt")? {
        None => None,
        Some(text) => Some(
            Timestamp::parse_rfc3339(&text)
                .ok_or_else(|| ApiError::field("expiresAt", "must be a time as RFC 3339 has it"))?,
        ),
    };
    let new = New {
        name,
        scope: scope(&mut fields)?,
        expires_at,
    };
    Ok(json(&tokens::create(api.admin(), &actor, new).await?))
}

/// A sign-in link to be made.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewLink {
    /// What people call who signs in by it: 1 to 100 bytes.
    name: String,
    /// The UUIDs of the instances that it is for; all without.
    #[schema(max_items = 100)]
    instances: Option<Vec<String>>,
    /// `read`, or `write` for reading and writing; `write` without.
    may: Option<String>,
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/admin-tokens/links",
    tag = "Admin API: tokens",
    operation_id = "admin_create_link",
    summary = "Make a link that signs a browser in to the dashboard: once, within 15 minutes, for seven days at most",
    request_body = NewLink,
    responses(
        (status = 200, body = Link, description = "The only answer that has the link"),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
        (status = 409, body = Refusal, description = "There are too many tokens"),
    )
)]
pub(crate) async fn link(
    State(api): State<Api>,
    Full { actor }: Full,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let (name, scope) = (name(&mut fields)?, scope(&mut fields)?);
    let url = &api.shared.public_url;
    let made = links::create(api.admin(), &actor, url, name, scope).await?;
    Ok(json(&made))
}

fn name(fields: &mut Fields) -> Result<AdminTokenName, ApiError> {
    AdminTokenName::parse(fields.text("name")?)
        .map_err(|error| ApiError::field("name", error.to_string()))
}

fn scope(fields: &mut Fields) -> Result<Scope, ApiError> {
    let right = match fields.optional_text("may")? {
        None => Right::Write,
        Some(word) => {
            Right::parse(&word).ok_or_else(|| ApiError::field("may", "must be read or write"))?
        }
    };
    let reach = reach(fields)?;
    Ok(Scope { reach, right })
}

fn reach(fields: &mut Fields) -> Result<Reach, ApiError> {
    let wrong = || ApiError::field("instances", "must be a list of 1 to 100 UUIDs");
    let ids = match fields.take("instances") {
        None => return Ok(Reach::All),
        Some(Value::Array(ids)) => ids,
        Some(_) => return Err(wrong()),
    };
    if !(1..=ADMIN_TOKEN_INSTANCES_MAX).contains(&ids.len()) {
        return Err(wrong());
    }
    let ids: Option<BTreeSet<InstanceId>> = ids
        .iter()
        .map(|id| InstanceId::parse(id.as_str()?).ok())
        .collect();
    ids.map(Reach::Some).ok_or_else(wrong)
}

/// `DELETE`.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/admin-tokens/{number}",
    tag = "Admin API: tokens",
    operation_id = "admin_revoke_token",
    summary = "Revoke an admin token",
    params(("number" = i64, Path, description = "The token's number")),
    responses(
        (status = 200, body = Object),
        InInstance,
    )
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    Full { actor }: Full,
    Segments(number): Segments<String>,
) -> Result<Response, ApiError> {
    // What is no number is the number of none.
    let unknown = |_| AdminError::NotFound {
        what: "admin token",
    };
    let number: i64 = number.parse().map_err(unknown)?;
    tokens::revoke(api.admin(), &actor, AdminTokenId(number)).await?;
    Ok(json(&value!({"number": number, "revoked": true})))
}
