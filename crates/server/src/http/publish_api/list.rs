//! `…/publishes`, read: what was published, the newest first.

use axum::extract::State;
use axum::response::Response;
use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use http::Uri;
use store::lookup::{PublishCursor, PublishState};
use store::search::{Reach, WantedPublishes};

use super::view::{Publish, PublishPage};
use crate::admin::publishes::{SEARCH_DEPTH, TITLE_LENGTH_MAX};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{json, limit_of, query_value};
use crate::http::openapi::{Refusal, path};

/// How many publishes one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// `GET`, with what is wanted, `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/publish_api/v1/instances/{instance}/publishes",
    tag = "Publish API",
    operation_id = "publishes",
    summary = "What was published, the newest first",
    description = "With `interest`, `user`, `title` or a time, an answer looks at 1,000 publishes, so it may have none although there is a `nextCursor`. Whom a publish names, and its titles, are known as long as retention keeps them.",
    params(
        path::Instance,
        ("status" = Option<String>, Query, description = "scheduled, running, finished or cancelled; all without"),
        ("interest" = Option<String>, Query, description = "Those that name this interest"),
        ("user" = Option<String>, Query, description = "Those that name this user"),
        ("title" = Option<String>, Query, description = "Those with this in a title, whatever the case of letters; at most 200 bytes"),
        ("acceptedFrom" = Option<String>, Query, description = "Those accepted then (RFC 3339) or later"),
        ("acceptedUntil" = Option<String>, Query, description = "Those accepted before then (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 100; 20 without"),
    ),
    responses(
        (status = 200, body = PublishPage),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&api, instance.id(), &uri).await
}

/// A page of an instance's publishes.
pub(in crate::http) async fn answer(
    api: &Api,
    instance: InstanceId,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let query = uri.query();
    let wanted = wanted(query)?;
    let after = query_value(query, "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map(PublishCursor);
    let limit = limit_of(query, LIMIT_DEFAULT, LIMIT_MAX)?;
    let reach = Reach {
        depth: SEARCH_DEPTH,
        limit,
    };
    let page = api
        .store()
        .search_publishes(instance, wanted, after, reach)
        .await?;
    let reports = page.publishes.iter().map(|found| &found.report);
    Ok(json(&PublishPage {
        publishes: reports.map(Publish::of).collect(),
        next_cursor: page.next.map(|cursor| cursor.0.to_string()),
    }))
}

/// Which publishes a query asks for.
fn wanted(query: Option<&str>) -> Result<WantedPublishes, ApiError> {
    fn one<T>(
        query: Option<&str>,
        name: &'static str,
        parse: impl FnOnce(String) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        query_value(query, name)
            .map(|text| parse(text).ok_or(ApiError::Query(name)))
            .transpose()
    }
    let time = |text: String| Timestamp::parse_rfc3339(&text);
    let title = |text: String| (text.len() <= TITLE_LENGTH_MAX).then_some(text);
    Ok(WantedPublishes {
        state: one(query, "status", |word| PublishState::parse(&word))?,
        from: one(query, "acceptedFrom", time)?,
        until: one(query, "acceptedUntil", time)?,
        interest: one(query, "interest", |name| InterestName::parse(name).ok())?,
        user: one(query, "user", |id| UserId::parse(id).ok())?,
        title: one(query, "title", title)?,
    })
}
