//! `…/publishes/{publish}`: where one publish is, and calling it off.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::device::DeviceOrdinal;
use domain::publish::AudienceKind;
use domain::user::UserId;
use http::Uri;
use serde_json::json;
use store::lookup::{Cancelled, Target};

use super::{publish_id, view};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json, query_value};

/// How many users one answer has.
const USERS_MAX: usize = 100;
/// Among how many failures the examples are looked for.
const FAILURES_MAX: usize = 1000;
/// The query parameter that says where the users go on.
const USERS_CURSOR: &str = "users_cursor";

/// `GET`.
pub(crate) async fn show(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
    let after = query_value(uri.query(), USERS_CURSOR)
        .map(|cursor| user_of(&cursor).ok_or(ApiError::Query(USERS_CURSOR)))
        .transpose()?;
    let (instance, store) = (instance.id(), api.store());
    // Read before the users: what is settled in between only makes them more definite than the state.
    let report = store.publish_report(instance, id).await?;
    let report = report.ok_or(ApiError::PublishNotFound)?;
    let mut answer = view::summary(&report);
    let failed = store
        .publish_failures(instance, id, DeviceOrdinal::default(), FAILURES_MAX)
        .await?;
    answer["failures"] = view::examples(&failed.unwrap_or_default());
    if matches!(report.target, Target::Named(AudienceKind::Users, _)) {
        let users = store
            .publish_users(instance, id, after, USERS_MAX + 1)
            .await?;
        let mut users = users.unwrap_or_default();
        let is_more = users.len() > USERS_MAX;
        users.truncate(USERS_MAX);
        let next = users
            .last()
            .filter(|_| is_more)
            .map(|last| URL_SAFE_NO_PAD.encode(last.user.as_str()));
        let shown = users.iter().map(|user| view::user(report.state, user));
        answer["users"] = shown.collect();
        answer["usersNextCursor"] = next.into();
    }
    Ok(json(&answer))
}

fn user_of(cursor: &str) -> Option<UserId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    UserId::parse(String::from_utf8(bytes).ok()?).ok()
}

/// `DELETE`: calls off what has not been sent. As often as one likes.
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
            Ok(json(
                &json!({"publishId": id.to_string(), "state": "cancelled"}),
            ))
        }
        Cancelled::Finished => Err(ApiError::PublishFinished),
        Cancelled::Unknown => Err(ApiError::PublishNotFound),
    }
}
