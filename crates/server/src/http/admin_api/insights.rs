//! `…/insights`: what devices reported over time.

use axum::extract::State;
use axum::response::Response;
use domain::clock::Timestamp;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::MayRead;
use crate::admin::insights::devices::{self, DeviceInsights};
use crate::admin::insights::{self, EventCount, RateCount, Step, recent};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{json, query_value};
use crate::http::openapi::{InInstance, Refusal, path};

/// How much time is told of when nothing is said.
const DAYS_DEFAULT: u64 = 30;

/// Counts over time, in order of time and platform, and how many devices there are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Insights {
    /// What devices reported, by when the server got it.
    events: Vec<EventCount>,
    /// What publishes came to, by when they were sent.
    rates: Vec<RateCount>,
    /// Whether only the latest 1000 publishes were looked at, and there are older ones.
    rates_are_cut: bool,
    devices: DeviceInsights,
}

/// `GET`, with `from`, `until` and `by`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/insights",
    tag = "Admin API: insights",
    operation_id = "admin_insights",
    summary = "What devices reported and what publishes came to, by the hour or by the day; devices now and on the last 30 days",
    params(
        path::Instance,
        ("from" = Option<String>, Query, description = "RFC 3339; 30 days, or by hour one, before until without"),
        ("until" = Option<String>, Query, description = "RFC 3339; now without"),
        ("by" = Option<String>, Query, description = "hour or day; day without. In UTC"),
    ),
    responses(
        (status = 200, body = Insights),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (step, days) = match query_value(uri.query(), "by").as_deref() {
        None | Some("day") => (Step::Day, DAYS_DEFAULT),
        Some("hour") => (Step::Hour, 1),
        Some(_) => return Err(ApiError::Query("by")),
    };
    let until = time(&uri, "until")?.unwrap_or_else(|| api.now());
    let default = until.before(std::time::Duration::from_secs(days * 24 * 60 * 60));
    let from = time(&uri, "from")?.unwrap_or(default);
    let events = insights::events(api.admin(), instance, from, until, step).await?;
    let recent = recent::publishes(api.admin(), instance).await?;
    let counted = devices::count(api.admin(), instance).await?;
    Ok(json(&Insights {
        events,
        rates: insights::rates(&recent, from, until, step),
        rates_are_cut: recent.is_cut,
        devices: DeviceInsights::of(&counted),
    }))
}

fn time(uri: &Uri, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = query_value(uri.query(), name) else {
        return Ok(None);
    };
    let at = Timestamp::parse_rfc3339(&text).ok_or(ApiError::Query(name))?;
    Ok(Some(at))
}
