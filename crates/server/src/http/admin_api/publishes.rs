//! `…/publishes`: what the publish API has, for whoever manages. The answers are the same.

use axum::extract::State;
use axum::response::Response;
use domain::publish::{AudienceKind, PUBLISH_BODY_LENGTH_MAX, PublishId, PublishRequest};
use http::Uri;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::access::{MayRead, MayWrite};
use crate::admin::error::AdminError;
use crate::admin::publishes;
use crate::http::error::ApiError;
use crate::http::extract::{Bounded, JsonContent, Segments, json, query_value};
use crate::http::openapi::{InInstance, Refusal, path};
use crate::http::publish_api::described::{AcceptedOrCounted, PublishToUsers};
use crate::http::publish_api::view::{
    Accepted, Cancelled, FailurePage, PublishInFull, PublishPage,
};
use crate::http::publish_api::{self, publish_id};
use crate::http::{Api, json_depth};

/// `GET`, with what is wanted, `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/publishes",
    tag = "Admin API: publishes",
    operation_id = "admin_publishes",
    summary = "What was published, the newest first",
    description = "With `interest`, `user`, `title` or a time, an answer looks at 1,000 publishes, so it may have none although there is a `nextCursor`. Whom a publish names, and its titles, are known as long as retention keeps them.",
    params(
        path::Instance,
        ("status" = Option<String>, Query, description = "scheduled, running, finished or cancelled; all without"),
        ("interest" = Option<String>, Query, description = "Those that name this interest"),
        ("user" = Option<String>, Query, description = "Those that name this user"),
        ("title" = Option<String>, Query, description = "Those with this in a title, whatever the case of letters; at most 200 bytes. Only where payloads may be shown on the dashboard"),
        ("acceptedFrom" = Option<String>, Query, description = "Those accepted then (RFC 3339) or later"),
        ("acceptedUntil" = Option<String>, Query, description = "Those accepted before then (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 100; 20 without"),
    ),
    responses(
        (status = 200, body = PublishPage),
        (status = 400, body = Refusal),
        (status = 409, body = Refusal, description = "Titles, of payloads that may not be shown"),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    uri: Uri,
) -> Result<Response, ApiError> {
    // Who may look is not thereby told what devices are.
    if query_value(uri.query(), "title").is_some() && !api.store().shows_payloads(instance).await? {
        let why = "titles are part of payloads, which are hidden in this instance; its debug console shows them";
        return Err(AdminError::Conflict(why.into()).into());
    }
    publish_api::list::answer(&api, instance, &uri).await
}

/// Which audience a body names.
#[derive(Deserialize)]
struct Named {
    users: Option<IgnoredAny>,
}

/// `POST`: to users or to interests, whichever the body names.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/publishes",
    tag = "Admin API: publishes",
    operation_id = "admin_publish",
    summary = "Publish to users, or to interests",
    params(path::Instance),
    request_body(
        content = PublishToUsers,
        description = "As for the publish API; `interests` in the place of `users` for a publish to interests"
    ),
    responses(
        (status = 200, body = AcceptedOrCounted),
        (status = 400, body = Refusal),
        (status = 422, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn publish(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    _: JsonContent,
    Bounded(body): Bounded<PUBLISH_BODY_LENGTH_MAX>,
) -> Result<Response, ApiError> {
    publish_api::admit(&api, instance)?;
    json_depth::check(&body, api.shared.limits.json_depth_max)?;
    let named: Named = serde_json::from_slice(&body).map_err(|_| ApiError::NotAnObject)?;
    let kind = match named.users {
        Some(_) => AudienceKind::Users,
        None => AudienceKind::Interests,
    };
    let request = PublishRequest::parse(kind, &body)?;
    request.check_times(api.now())?;
    if request.dry_run {
        return publish_api::dry_run::count(&api, instance, request).await;
    }
    let id = publishes::publish(api.admin(), &actor, instance, request).await?;
    Ok(accepted(id))
}

fn accepted(id: PublishId) -> Response {
    json(&Accepted {
        publish_id: id.to_string(),
    })
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/publishes/{publish}",
    tag = "Admin API: publishes",
    operation_id = "admin_publish_report",
    summary = "Where a publish is",
    params(
        path::Instance, path::Publish,
        ("users_cursor" = Option<String>, Query, description = "Where the users go on"),
    ),
    responses(
        (status = 200, body = PublishInFull),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    publish_api::one::answer(&api, instance, publish_id(segments)?, &uri).await
}

/// `DELETE`: calls off what has not been sent. As often as one likes.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/publishes/{publish}",
    tag = "Admin API: publishes",
    operation_id = "admin_cancel_publish",
    summary = "Call off what has not been sent",
    params(path::Instance, path::Publish),
    responses(
        (status = 200, body = Cancelled),
        (status = 409, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn cancel(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
    publishes::cancel(api.admin(), &actor, instance, id).await?;
    Ok(json(&Cancelled::of(id)))
}

/// `GET`, with `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/publishes/{publish}/failures",
    tag = "Admin API: publishes",
    operation_id = "admin_publish_failures",
    summary = "The deliveries that no gateway took",
    params(
        path::Instance, path::Publish,
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 1000; 100 without"),
    ),
    responses(
        (status = 200, body = FailurePage),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn failures(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    publish_api::failures::answer(&api, instance, publish_id(segments)?, &uri).await
}

/// `POST`; a body is not looked at.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/publishes/{publish}/replay",
    tag = "Admin API: publishes",
    operation_id = "admin_replay_publish",
    summary = "Send it again to the devices that it failed for",
    params(path::Instance, path::Publish),
    responses(
        (status = 200, body = Accepted),
        (status = 409, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
    publish_api::admit(&api, instance)?;
    let fresh = publishes::replay(api.admin(), &actor, instance, id).await?;
    Ok(accepted(fresh))
}
