//! The bodies of the publish API, which are parsed by hand.

use utoipa::ToSchema;

use super::view;

/// A publish to whoever is subscribed.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"interests": ["hello"], "web": {"notification": {"title": "Hello", "body": "from Heliostat"}}}))]
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
#[schema(example = json!({"users": ["alice"], "web": {"notification": {"title": "Hello", "body": "from Heliostat"}}}))]
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
    /// Told when the publish begins and when it has ended; the form of webhooks that Beams has deprecated.
    webhook_url: Option<String>,
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
