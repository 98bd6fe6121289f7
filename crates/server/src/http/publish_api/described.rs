//! The description of the publish API: its calls, and the bodies that are parsed by hand.

use utoipa::{OpenApi, ToSchema};

use super::{failures, interests, list, one, replay, users, view};
use crate::http::openapi::{Refusal, SecretKey};

/// The whole description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Heliostat: the publish API",
        description = "Beams' publish API and what goes beyond it. docs/PUBLISHING.md has an example for each call.",
    ),
    paths(
        interests::publish,
        users::publish,
        list::list,
        one::show,
        one::cancel,
        failures::list,
        replay::replay
    ),
    components(schemas(
        PublishToInterests,
        PublishToUsers,
        Counted,
        Refusal,
        view::Accepted,
        view::PublishInFull
    )),
    security(("secret_key" = [])),
    modifiers(&SecretKey)
)]
pub(crate) struct Described;

/// A publish to whoever is subscribed.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by the domain")]
pub(in crate::http) struct PublishToInterests {
    /// 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    interests: Vec<String>,
    #[schema(inline)]
    #[serde(flatten)]
    rest: PublishBody,
}

/// A publish to all the devices of some users.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by the domain")]
pub(in crate::http) struct PublishToUsers {
    /// 1 to 1000.
    #[schema(min_items = 1, max_items = 1000)]
    users: Vec<String>,
    #[schema(inline)]
    #[serde(flatten)]
    rest: PublishBody,
}

/// What all publishes have.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by the domain")]
struct PublishBody {
    /// For Apple devices, as Beams has it. At least one of the three payloads is there.
    #[schema(value_type = Option<Object>)]
    apns: Option<()>,
    /// For Android devices.
    #[schema(value_type = Option<Object>)]
    fcm: Option<()>,
    /// For browsers.
    #[schema(value_type = Option<Object>)]
    web: Option<()>,
    /// When to send it, at most 366 days ahead; a past time is now.
    #[schema(format = "date-time")]
    send_at: Option<String>,
    /// After when nothing of it may be sent.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// Only check and count.
    dry_run: Option<bool>,
}

/// The answer to a dry run.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, written by `dry_run.rs`")]
pub(in crate::http) struct Counted {
    /// `true`.
    dry_run: bool,
    /// Devices by platform, of those that there is a payload for.
    devices: std::collections::BTreeMap<String, u64>,
    /// Of a publish to users alone.
    users: Option<CountedUsers>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, written by `dry_run.rs`")]
struct CountedUsers {
    with_devices: u64,
    without_devices: u64,
}

/// What the two kinds of publishes answer: described as one of two.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, written by the handlers")]
#[serde(untagged)]
pub(in crate::http) enum AcceptedOrCounted {
    /// It was accepted.
    Accepted(view::Accepted),
    /// It was a dry run.
    Counted(Counted),
}
