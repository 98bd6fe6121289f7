//! `…/events`: a device got a publish, or its user opened it.
//!
//! An event is a count and nothing more, and must never cost more than itself: a 404 makes one mobile SDK register its
//! device anew, and a 5xx makes it stop everything else until the report is through.

use axum::extract::State;
use domain::clock::Timestamp;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::user::UserId;
use serde_json::Value;
use store::console::{Trace, TraceKind};
use store::publishes::{Event, EventKind, Recorded};
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{Fields, JsonObject, Segments};
use crate::http::openapi::{Refusal, path};

/// The largest body, in bytes; a report with the longest user id has under 2 KiB.
const BODY_LENGTH_MAX: usize = 8 * 1024;

/// What a device reports. Fields that are documented for statistics of apps are taken and ignored.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(crate) struct Report {
    /// `delivery` or `open`, in any case.
    #[schema(example = "delivery")]
    event: String,
    /// The publish's id, as the notification carries it.
    publish_id: String,
    device_id: String,
    /// Seconds since the Unix epoch, by the device's clock.
    #[schema(minimum = 0, example = 1_800_000_000)]
    timestamp_secs: i64,
    /// Whose the device is, if anybody's.
    user_id: Option<String>,
}

/// `POST`: 200 for whatever is well formed, also if nobody knows the publish or the device (any more).
#[utoipa::path(
    post,
    path = "/reporting_api/v2/instances/{instance}/events",
    tag = "Reporting API",
    operation_id = "report",
    summary = "Report that a device got a publish, or that its user opened it",
    params(path::Instance),
    request_body = Report,
    responses(
        (status = 200, description = "It was counted, or nobody knows the publish or the device"),
        (status = 400, body = Refusal),
    )
)]
pub(crate) async fn report(
    State(api): State<Api>,
    Segments(instance): Segments<String>,
    caller: Caller,
    JsonObject(body): JsonObject<BODY_LENGTH_MAX>,
) -> Result<(), ApiError> {
    let instance = InstanceId::parse(&instance)
        .map_err(|error| ApiError::field("instance", error.to_string()))?;
    let Some(event) = event(instance, body, api.now())? else {
        return Ok(());
    };
    let kind = event.kind;
    let (publish, device) = (event.publish, event.device);
    match api.store().record_events(vec![event]).await {
        Ok(recorded) => {
            if recorded.contains(&Recorded::New) {
                metrics::counter!("heliostat_events_total", "event" => kind.as_str()).increment(1);
                api.trail().note(instance, |now| Trace {
                    device: Some(device),
                    publish: Some(publish),
                    ..Trace::new(now, told(kind))
                });
            }
            Ok(())
        }
        Err(error) if caller == Caller::Swift => {
            metrics::counter!("heliostat_events_lost_total").increment(1);
            tracing::warn!(%error, "a reported event was lost");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// What the debug console calls it.
const fn told(kind: EventKind) -> TraceKind {
    match kind {
        EventKind::Delivery => TraceKind::Delivered,
        EventKind::Open => TraceKind::Opened,
    }
}

/// The event in a body; `None` where its ids are well-formed texts but cannot be ours, as with a device or a publish from
/// before a move from Beams. Fields that are documented for statistics of apps are ignored.
pub(crate) fn event(
    instance: InstanceId,
    mut body: Fields,
    received: Timestamp,
) -> Result<Option<Event>, ApiError> {
    let kind = body.text("event")?;
    let kind = [EventKind::Delivery, EventKind::Open]
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(&kind))
        .ok_or_else(|| ApiError::field("event", "must be delivery or open"))?;
    let publish = body.text("publishId")?;
    let device = body.text("deviceId")?;
    let at = match body.take("timestampSecs") {
        None => {
            return Err(ApiError::field(
                "timestampSecs",
                "timestampSecs is required",
            ));
        }
        Some(Value::Number(secs)) => whole_secs(&secs),
        Some(_) => None,
    };
    let at =
        at.ok_or_else(|| ApiError::field("timestampSecs", "must be a whole number of seconds"))?;
    let user = match body.take("userId") {
        // Whatever is no user's id belongs to nobody.
        Some(Value::String(id)) => UserId::parse(id).ok(),
        _ => None,
    };
    let (Some(publish), Some(device)) = (PublishId::parse(&publish), DeviceId::parse(&device))
    else {
        return Ok(None);
    };
    Ok(Some(Event {
        instance,
        publish,
        device,
        kind,
        at,
        received,
        user,
    }))
}

/// A whole number of seconds since the epoch that is no nonsense: up to the year 9999.
fn whole_secs(secs: &serde_json::Number) -> Option<Timestamp> {
    secs.as_i64()
        .filter(|secs| (0..=253_402_300_799).contains(secs))
        .map(Timestamp::from_secs)
}
