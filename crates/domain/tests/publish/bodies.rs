//! Which bodies are publishes.

use domain::publish::{Audience, AudienceKind, PublishError, PublishRequest};
use serde_json::{Value, json};

use crate::support::{interests, parse, refusal};

#[test]
fn texts_are_those_that_beams_answers() {
    let alert = json!({"apns": {"aps": {"alert": "hi"}}});
    assert_eq!(
        refusal(AudienceKind::Interests, &alert),
        "`interests`: interests is required"
    );
    assert_eq!(
        refusal(AudienceKind::Users, &alert),
        "`users`: users is required"
    );
}

#[test]
fn an_audience_has_limits() {
    let with = |audience: Value| json!({"interests": audience, "apns": {"aps": {"alert": "hi"}}});
    for bad in [
        json!([]),
        json!("a"),
        json!([1]),
        json!(["a b"]),
        json!([""]),
        json!(vec!["a"; 101]),
        json!({"a": 1}),
    ] {
        assert!(
            refusal(AudienceKind::Interests, &with(bad.clone())).starts_with("`interests`: "),
            "{bad}"
        );
    }
    let names: Vec<_> = (0..100).map(|n| format!("{n:0>164}")).collect();
    let full = parse(AudienceKind::Interests, &with(json!(names))).unwrap();
    assert_eq!(
        full.audience,
        Audience::Interests(names.into_iter().map(|n| n.try_into().unwrap()).collect())
    );
    let twice = parse(AudienceKind::Interests, &with(json!(["b", "a", "b"]))).unwrap();
    let Audience::Interests(set) = twice.audience else {
        panic!()
    };
    assert_eq!(
        set.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let both = json!({"interests": ["a"], "users": ["u"], "apns": {"aps": {"alert": "hi"}}});
    assert!(refusal(AudienceKind::Interests, &both).starts_with("`users`: "));
    assert!(refusal(AudienceKind::Users, &both).starts_with("`interests`: "));
    let users = |users: Value| json!({"users": users, "apns": {"aps": {"alert": "hi"}}});
    assert!(parse(AudienceKind::Users, &users(json!(vec!["u"; 1000]))).is_ok());
    assert!(parse(AudienceKind::Users, &users(json!(vec!["u"; 1001]))).is_err());
    assert!(parse(AudienceKind::Users, &users(json!(["u".repeat(165)]))).is_err());
}

#[test]
fn a_body_has_limits() {
    for bad in ["", "[]", "null", "\"x\"", "{", "{\"a\":1}x"] {
        let refused = PublishRequest::parse(AudienceKind::Interests, bad.as_bytes()).unwrap_err();
        assert_eq!(refused, PublishError::NotAnObject, "{bad}");
    }
    let deep = format!(
        "{{\"interests\":[\"a\"],\"apns\":{}1{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert!(PublishRequest::parse(AudienceKind::Interests, deep.as_bytes()).is_err());
    let long = interests(json!({"other": "x".repeat(11_000), "apns": {"aps": {"alert": "hi"}}}));
    assert_eq!(
        parse(AudienceKind::Interests, &long).unwrap_err(),
        PublishError::TooLarge { max: 10_240 }
    );
    let longer =
        json!({"users": ["u"], "other": "x".repeat(210_000), "apns": {"aps": {"alert": "hi"}}});
    assert_eq!(
        parse(AudienceKind::Users, &longer).unwrap_err(),
        PublishError::TooLarge { max: 204_800 }
    );
    assert!(
        refusal(AudienceKind::Interests, &interests(json!({})))
            .contains("at least one of apns, fcm, web")
    );
}

#[test]
fn what_a_gateway_would_refuse_is_refused_at_once() {
    let large = "x".repeat(4000);
    for part in [
        json!({"apns": {"aps": {"alert": large}}}),
        json!({"fcm": {"data": {"k": large}}}),
        json!({"web": {"notification": {"title": large}}}),
    ] {
        assert!(refusal(AudienceKind::Interests, &interests(part)).contains("too large"));
    }
}

#[test]
fn a_refusal_is_one_short_line_whatever_the_fields_are_called() {
    let key = format!("google\n{}", "k".repeat(3000));
    let why = refusal(
        AudienceKind::Interests,
        &interests(json!({"fcm": {"data": {key: "x"}}})),
    );
    assert!(
        why.len() < 200 && !why.contains('\n') && why.starts_with("`fcm.data.googlek"),
        "{why}"
    );
}

#[test]
fn the_webhook_of_a_publish_is_not_shown() {
    let body = interests(
        json!({"web": {"notification": {}}, "webhookUrl": "https://u:5ec2e7@app.example/"}),
    );
    let request = parse(AudienceKind::Interests, &body).unwrap();
    assert!(request.webhook.is_some());
    let shown = format!("{request:?}");
    assert!(!shown.contains("5ec2e7"), "{shown}");
}

#[test]
fn a_refusal_names_the_field() {
    for (part, field) in [
        (json!({"apns": []}), "`apns`"),
        (json!({"apns": {}}), "`apns.aps`"),
        (json!({"apns": {"aps": {"alert": 1}}}), "`apns.aps.alert`"),
        (
            json!({"apns": {"aps": {"alert": "a"}, "collapse_id": "x".repeat(65)}}),
            "`apns.collapse_id`",
        ),
        (
            json!({"apns": {"aps": {"alert": "a"}, "priority": 7}}),
            "`apns.priority`",
        ),
        (
            json!({"apns": {"aps": {"alert": "a"}, "expiration": "soon"}}),
            "`apns.expiration`",
        ),
        (
            json!({"apns": {"aps": {"alert": "a"}, "data": []}}),
            "`apns.data`",
        ),
        (json!({"fcm": {}}), "`fcm`"),
        (
            json!({"fcm": {"data": {"google.x": "1"}}}),
            "`fcm.data.google.x`",
        ),
        (json!({"fcm": {"data": {"from": "1"}}}), "`fcm.data.from`"),
        (
            json!({"fcm": {"notification": {"title": 1}}}),
            "`fcm.notification.title`",
        ),
        (
            json!({"fcm": {"data": {}, "priority": "urgent"}}),
            "`fcm.priority`",
        ),
        (
            json!({"fcm": {"data": {}, "time_to_live": 2_419_201}}),
            "`fcm.time_to_live`",
        ),
        (
            json!({"fcm": {"notification": {"title_loc_args": {}}}}),
            "`fcm.notification.title_loc_args`",
        ),
        (json!({"web": {}}), "`web`"),
        (json!({"web": {"data": {"pusher": 1}}}), "`web.data.pusher`"),
        (
            json!({"web": {"notification": {"hide_notification_if_site_has_focus": "true"}}}),
            "`web.notification.hide",
        ),
        (
            json!({"web": {"notification": {}, "time_to_live": -1}}),
            "`web.time_to_live`",
        ),
        (
            json!({"web": {"notification": {}, "topic": "a b"}}),
            "`web.topic`",
        ),
        (
            json!({"web": {"notification": {}, "urgency": "now"}}),
            "`web.urgency`",
        ),
    ] {
        let text = refusal(AudienceKind::Interests, &interests(part.clone()));
        assert!(text.starts_with(field), "{part}: {text}");
    }
}
