//! `…/publishes/{publish}`: where one publish is, and calling it off.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::{AudienceKind, PublishId};
use domain::user::UserId;
use http::Uri;
use store::lookup::{Cancelled, PublishReport, Target, UserOutcome};

use super::view::{FailureKind, PublishInFull, User};
use super::{publish_id, view};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json, query_value};
use crate::http::openapi::{Refusal, path};

/// How many users one answer has.
const USERS_MAX: usize = 100;
/// Among how many failures the examples are looked for.
const FAILURES_MAX: usize = 1000;
/// The query parameter that says where the users go on.
const USERS_CURSOR: &str = "users_cursor";

/// `GET`.
#[utoipa::path(
    get,
    path = "/publish_api/v1/instances/{instance}/publishes/{publish}",
    tag = "Publish API",
    operation_id = "publish",
    summary = "Where a publish is",
    params(
        path::Instance, path::Publish,
        ("users_cursor" = Option<String>, Query, description = "Where the users go on"),
    ),
    responses(
        (status = 200, body = PublishInFull),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&api, instance.id(), publish_id(segments)?, &uri).await
}

/// A publish in full.
pub(in crate::http) async fn answer(
    api: &Api,
    instance: InstanceId,
    id: PublishId,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let after = query_value(uri.query(), USERS_CURSOR)
        .map(|cursor| user_of(&cursor).ok_or(ApiError::Query(USERS_CURSOR)))
        .transpose()?;
    let store = api.store();
    // Read before the users: what is settled in between only makes them more definite than the state.
    let report = store.publish_report(instance, id).await?;
    let report = report.ok_or(ApiError::PublishNotFound)?;
    let failed = store
        .publish_failures(instance, id, DeviceOrdinal::default(), FAILURES_MAX)
        .await?;
    let users = match report.target {
        Target::Named(AudienceKind::Users, _) => {
            let told = store
                .publish_users(instance, id, after, USERS_MAX + 1)
                .await?;
            Some(users(&report, told.unwrap_or_default()))
        }
        _ => None,
    };
    let (users, next) = users.unzip();
    Ok(json(&PublishInFull {
        publish: view::Publish::of(&report),
        failures: FailureKind::all_of(&failed.unwrap_or_default()),
        users,
        users_next_cursor: next,
    }))
}

/// A page of users, and where they go on. One more than that tells that they do.
fn users(report: &PublishReport, mut told: Vec<UserOutcome>) -> (Vec<User>, Option<String>) {
    let is_more = told.len() > USERS_MAX;
    told.truncate(USERS_MAX);
    let next = told.last().filter(|_| is_more);
    let next = next.map(|last| URL_SAFE_NO_PAD.encode(last.user.as_str()));
    let users = told.iter().map(|user| User::of(report.state, user));
    (users.collect(), next)
}

fn user_of(cursor: &str) -> Option<UserId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    UserId::parse(String::from_utf8(bytes).ok()?).ok()
}

/// `DELETE`: calls off what has not been sent. As often as one likes.
#[utoipa::path(
    delete,
    path = "/publish_api/v1/instances/{instance}/publishes/{publish}",
    tag = "Publish API",
    operation_id = "cancel",
    summary = "Call off what has not been sent",
    params(path::Instance, path::Publish),
    responses(
        (status = 200, body = view::Cancelled),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
        (status = 409, body = Refusal),
    )
)]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
    let cancelled = api.store().cancel_publish(instance.id(), id, api.now());
    match cancelled.await? {
        Cancelled::Done => {
            tracing::info!(instance = %instance.id(), publish = %id, "cancelled {id}");
            Ok(json(&view::Cancelled::of(id)))
        }
        Cancelled::Finished => Err(ApiError::PublishFinished),
        Cancelled::Unknown => Err(ApiError::PublishNotFound),
    }
}
