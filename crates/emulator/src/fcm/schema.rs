//! The shape of a v1 message: which fields there are, and of what type.
//!
//! From Google's reference of `projects.messages`. Google takes each field in `snake_case` and in `lowerCamelCase`
//! (the JSON mapping of protocol buffers), so the table holds the first and compares both. Invariant: a field that is
//! not in the table is refused, as Google's parser refuses it.

use serde_json::Value;

use super::refusal::Refusal;

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    Int,
    Number,
    /// Seconds with up to nine decimals and an `s`.
    Duration,
    /// RFC 3339.
    Time,
    /// `#rrggbb`.
    Colour,
    Texts,
    Durations,
    /// Text to text.
    Map,
    /// Any JSON object.
    Struct,
    OneOf(&'static [&'static str]),
    Object(Fields),
}

type Fields = &'static [(&'static str, Kind)];

pub(super) const REQUEST: Fields = &[
    ("message", Kind::Object(MESSAGE)),
    ("validate_only", Kind::Bool),
];

const MESSAGE: Fields = &[
    ("name", Kind::Text),
    ("data", Kind::Map),
    (
        "notification",
        Kind::Object(&[
            ("title", Kind::Text),
            ("body", Kind::Text),
            ("image", Kind::Text),
        ]),
    ),
    ("android", Kind::Object(ANDROID)),
    ("webpush", Kind::Object(WEBPUSH)),
    ("apns", Kind::Object(APNS)),
    (
        "fcm_options",
        Kind::Object(&[("analytics_label", Kind::Text)]),
    ),
    ("token", Kind::Text),
    ("topic", Kind::Text),
    ("condition", Kind::Text),
];

const ANDROID: Fields = &[
    ("collapse_key", Kind::Text),
    ("priority", Kind::OneOf(&["NORMAL", "HIGH"])),
    ("ttl", Kind::Duration),
    ("restricted_package_name", Kind::Text),
    ("data", Kind::Map),
    ("notification", Kind::Object(ANDROID_NOTIFICATION)),
    (
        "fcm_options",
        Kind::Object(&[("analytics_label", Kind::Text)]),
    ),
    ("direct_boot_ok", Kind::Bool),
    ("bandwidth_constrained_ok", Kind::Bool),
    ("restricted_satellite_ok", Kind::Bool),
];

const ANDROID_NOTIFICATION: Fields = &[
    ("title", Kind::Text),
    ("body", Kind::Text),
    ("icon", Kind::Text),
    ("color", Kind::Colour),
    ("sound", Kind::Text),
    ("tag", Kind::Text),
    ("click_action", Kind::Text),
    ("body_loc_key", Kind::Text),
    ("body_loc_args", Kind::Texts),
    ("title_loc_key", Kind::Text),
    ("title_loc_args", Kind::Texts),
    ("channel_id", Kind::Text),
    ("ticker", Kind::Text),
    ("sticky", Kind::Bool),
    ("event_time", Kind::Time),
    ("local_only", Kind::Bool),
    (
        "notification_priority",
        Kind::OneOf(&[
            "PRIORITY_UNSPECIFIED",
            "PRIORITY_MIN",
            "PRIORITY_LOW",
            "PRIORITY_DEFAULT",
            "PRIORITY_HIGH",
            "PRIORITY_MAX",
        ]),
    ),
    ("default_sound", Kind::Bool),
    ("default_vibrate_timings", Kind::Bool),
    ("default_light_settings", Kind::Bool),
    ("vibrate_timings", Kind::Durations),
    (
        "visibility",
        Kind::OneOf(&["VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"]),
    ),
    ("notification_count", Kind::Int),
    ("light_settings", Kind::Object(LIGHT)),
    ("image", Kind::Text),
    ("bypass_proxy_notification", Kind::Bool),
    (
        "proxy",
        Kind::OneOf(&["PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"]),
    ),
];

const LIGHT: Fields = &[
    (
        "color",
        Kind::Object(&[
            ("red", Kind::Number),
            ("green", Kind::Number),
            ("blue", Kind::Number),
            ("alpha", Kind::Number),
        ]),
    ),
    ("light_on_duration", Kind::Duration),
    ("light_off_duration", Kind::Duration),
];

const WEBPUSH: Fields = &[
    ("headers", Kind::Map),
    ("data", Kind::Map),
    ("notification", Kind::Struct),
    (
        "fcm_options",
        Kind::Object(&[("link", Kind::Text), ("analytics_label", Kind::Text)]),
    ),
];

const APNS: Fields = &[
    ("headers", Kind::Map),
    ("payload", Kind::Struct),
    (
        "fcm_options",
        Kind::Object(&[("analytics_label", Kind::Text), ("image", Kind::Text)]),
    ),
    ("live_activity_token", Kind::Text),
];

/// Whether `given` is `field` in either of Google's spellings.
pub(super) fn is_field(field: &str, given: &str) -> bool {
    if field == given {
        return true;
    }
    let mut given = given.bytes();
    let mut field = field.bytes();
    while let Some(wanted) = field.next() {
        let wanted = if wanted == b'_' {
            field.next().map(|letter| letter.to_ascii_uppercase())
        } else {
            Some(wanted)
        };
        if given.next() != wanted {
            return false;
        }
    }
    given.next().is_none()
}

/// Checks `value`, which stands at `path`, against its fields.
pub(super) fn check_object(path: &str, value: &Value, fields: Fields) -> Result<(), Refusal> {
    let Some(object) = value.as_object() else {
        return Err(wrong_type(path, "an object"));
    };
    for (name, value) in object {
        let Some((_, kind)) = fields.iter().find(|(field, _)| is_field(field, name)) else {
            let at = if path.is_empty() {
                String::new()
            } else {
                format!(" at '{path}'")
            };
            return Err(Refusal::schema(
                path,
                &format!("Unknown name \"{name}\"{at}: Cannot find field."),
            ));
        };
        // Google takes null for "not there".
        if !value.is_null() {
            check(path, name, value, *kind)?;
        }
    }
    Ok(())
}

fn check(parent: &str, name: &str, value: &Value, kind: Kind) -> Result<(), Refusal> {
    let path = || {
        if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}.{name}")
        }
    };
    let text = value.as_str();
    let (good, wanted) = match kind {
        Kind::Object(fields) => return check_object(&path(), value, fields),
        Kind::Text => (text.is_some(), "a string"),
        Kind::Bool => (value.is_boolean(), "a boolean"),
        Kind::Int => (
            value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            "an integer",
        ),
        Kind::Number => (value.is_number(), "a number"),
        Kind::Duration => (text.is_some_and(is_duration), "a duration such as \"3.5s\""),
        Kind::Time => (
            text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            "an RFC 3339 time",
        ),
        Kind::Colour => (text.is_some_and(is_colour), "a colour such as #rrggbb"),
        Kind::Texts => (
            value
                .as_array()
                .is_some_and(|all| all.iter().all(Value::is_string)),
            "a list of strings",
        ),
        Kind::Durations => {
            let all =
                |all: &Vec<Value>| all.iter().all(|one| one.as_str().is_some_and(is_duration));
            (value.as_array().is_some_and(all), "a list of durations")
        }
        Kind::Map => return check_map(&path(), value),
        Kind::Struct => (value.is_object(), "an object"),
        Kind::OneOf(words) => (
            text.is_some_and(|text| words.contains(&text)),
            "one of the documented values",
        ),
    };
    if good {
        Ok(())
    } else {
        Err(wrong_type(&path(), wanted))
    }
}

fn check_map(path: &str, value: &Value) -> Result<(), Refusal> {
    let Some(map) = value.as_object() else {
        return Err(wrong_type(path, "an object of strings"));
    };
    match map.iter().find(|(_, value)| !value.is_string()) {
        Some((key, value)) => {
            let field = format!("{path}[{key}]");
            Err(Refusal::schema(
                &field,
                &format!("Invalid value at '{path}[{key}]' (TYPE_STRING), {value}"),
            ))
        }
        None => Ok(()),
    }
}

fn wrong_type(path: &str, wanted: &str) -> Refusal {
    Refusal::schema(
        path,
        &format!("Invalid value at '{path}': it must be {wanted}."),
    )
}

/// `google.protobuf.Duration` in JSON, not negative.
fn is_duration(text: &str) -> bool {
    let Some(number) = text.strip_suffix('s') else {
        return false;
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && whole.len() <= 12 && digits(part) && part.len() <= 9
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_field() {
        assert!(is_field("collapse_key", "collapse_key"));
        assert!(is_field("collapse_key", "collapseKey"));
        assert!(is_field("body_loc_args", "bodyLocArgs"));
        for other in [
            "collapsekey",
            "collapseKe",
            "collapseKeyx",
            "collapse_Key",
            "",
        ] {
            assert!(!is_field("collapse_key", other), "{other}");
        }
    }

    #[test]
    fn durations_are_those_of_protocol_buffers() {
        for good in ["0s", "3600s", "3.5s", "0.000000001s"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in [
            "",
            "s",
            "3600",
            "-1s",
            "1.s",
            ".5s",
            "1e3s",
            "1.0000000001s",
            "1 s",
        ] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
