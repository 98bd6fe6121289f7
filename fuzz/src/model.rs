//! What a publish must become for each gateway, written from the documents (Beams: publish-payloads reference; Firebase:
//! legacy HTTP protocol and its migration guide; Apple: Generating a remote notification; what the client SDKs read) and not
//! from the program, with a JSON reader of its own.

use std::collections::BTreeMap;

use crate::json::Json;

type Fields = BTreeMap<String, Json>;

/// The ids that the program is told.
pub const INSTANCE: &str = "00000000-0000-0000-0000-0000000000aa";
/// As above.
pub const PUBLISH: &str = "pubid-00000000-0000-4000-8000-0000000000bb";

fn text(text: &str) -> Json {
    Json::Text(Some(text.to_owned()))
}

fn object(fields: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    Json::Object(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn data_of(part: &Json) -> Fields {
    part.field("data")
        .and_then(Json::object)
        .cloned()
        .unwrap_or_default()
}

/// The body for APNs.
pub fn apns(part: &Json) -> Json {
    let mut aps = part
        .field("aps")
        .and_then(Json::object)
        .cloned()
        .unwrap_or_default();
    if let Some(alert) = part.field("alert") {
        aps.entry("alert".into()).or_insert_with(|| alert.clone());
    }
    let untracked = part
        .field("pusher")
        .and_then(|pusher| pusher.field("disable_delivery_tracking"))
        .and_then(Json::bool)
        .unwrap_or(false);
    let push_type = part.field("push_type").and_then(Json::text);
    let kind_is_tracked = push_type.is_none_or(|kind| ["alert", "background"].contains(&kind));
    let already = aps
        .get("content-available")
        .is_some_and(|value| value.means(&Json::Number("1".into())) && value.whole() == Some(1));
    let mut pusher = vec![("instanceId", text(INSTANCE)), ("publishId", text(PUBLISH))];
    if kind_is_tracked && !untracked && !already {
        aps.insert("content-available".into(), Json::Number("1".into()));
        pusher.push(("userShouldIgnore", Json::Bool(true)));
    }
    let mut data = data_of(part);
    data.insert("pusher".into(), object(pusher));
    object([("aps", Json::Object(aps)), ("data", Json::Object(data))])
}

/// The clear text for a browser.
pub fn web(part: &Json) -> Json {
    let notification = part.field("notification");
    let mut shown = Fields::new();
    for name in [
        "title",
        "body",
        "icon",
        "deep_link",
        "hide_notification_if_site_has_focus",
    ] {
        if let Some(value) = notification.and_then(|fields| fields.field(name)) {
            shown.insert(name.into(), value.clone());
        }
    }
    let mut data = data_of(part);
    let pusher = object([
        ("instanceId", text(INSTANCE)),
        ("publishId", text(PUBLISH)),
        ("hasDisplayableContent", Json::Bool(notification.is_some())),
        ("hasData", Json::Bool(!data.is_empty())),
    ]);
    data.insert("pusher".into(), pusher);
    object([
        ("notification", Json::Object(shown)),
        ("data", Json::Object(data)),
    ])
}

/// The message for FCM, of a payload without parts in v1's own terms: `raw` is how the values of `data` were written, by name, and
/// `ttl` how long the message lives, in seconds.
pub fn fcm(part: &Json, token: &str, raw: &BTreeMap<String, String>, ttl: Option<i64>) -> Json {
    let mut message = Fields::from([("token".to_owned(), text(token))]);
    let mut android = Fields::new();
    if let Some(secs) = ttl {
        android.insert("ttl".into(), text(&format!("{secs}s")));
    }
    if let Some(key) = part.field("collapse_key") {
        android.insert("collapse_key".into(), key.clone());
    }
    if let Some(priority) = part.field("priority").and_then(Json::text) {
        android.insert("priority".into(), text(&priority.to_ascii_uppercase()));
    }
    let mut pusher = vec![("instanceId", text(INSTANCE)), ("publishId", text(PUBLISH))];
    if let Some(notification) = part.field("notification") {
        let of = |names: &[(&str, &str)]| -> Fields {
            let given = |name: &str| notification.field(name).cloned();
            names
                .iter()
                .filter_map(|(legacy, v1)| Some(((*v1).to_owned(), given(legacy)?)))
                .collect()
        };
        let common = of(&[("title", "title"), ("body", "body"), ("image", "image")]);
        message.insert("notification".into(), Json::Object(common));
        let mut shown = of(&[
            ("android_channel_id", "channel_id"),
            ("icon", "icon"),
            ("sound", "sound"),
            ("tag", "tag"),
            ("color", "color"),
            ("body_loc_key", "body_loc_key"),
            ("title_loc_key", "title_loc_key"),
        ]);
        for name in ["body_loc_args", "title_loc_args"] {
            if let Some(list) = notification.field(name) {
                shown.insert(name.into(), arguments(list));
            }
        }
        let own = "com.pusher.pushnotifications.OPEN_TRACKING";
        shown.insert("click_action".into(), text(own));
        android.insert("notification".into(), Json::Object(shown));
        if let Some(action) = notification.field("click_action") {
            pusher.push(("clickAction", action.clone()));
        }
    }
    if !android.is_empty() {
        message.insert("android".into(), Json::Object(android));
    }
    let given = data_of(part);
    pusher.push((
        "hasDisplayableContent",
        Json::Bool(part.field("notification").is_some()),
    ));
    pusher.push(("hasData", Json::Bool(!given.is_empty())));
    let mut data: Fields = given
        .iter()
        .map(|(name, value)| {
            let written = || text(raw.get(name).map_or("", String::as_str));
            let value = if value.text().is_some() {
                value.clone()
            } else {
                written()
            };
            (name.clone(), value)
        })
        .collect();
    // A text that holds JSON; compared as JSON by whoever calls this.
    data.insert("pusher".into(), object(pusher));
    message.insert("data".into(), Json::Object(data));
    object([("message", Json::Object(message))])
}

/// A list, or a text that holds one; each entry as a text. What is no text in it is not modelled.
fn arguments(value: &Json) -> Json {
    let parsed;
    let list = match value.text() {
        Some(text) => {
            parsed = Json::read(text.as_bytes());
            parsed.as_ref().and_then(Json::list)
        }
        None => value.list(),
    };
    Json::List(list.unwrap_or_default().to_vec())
}
