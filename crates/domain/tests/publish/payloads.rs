//! What each gateway is given.

use domain::device::{DeviceOrdinal, Platform};
use domain::payload::{Payloads, PushType, Rendered};
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use serde_json::{Value, json};

use crate::support::{ACCEPTED, apns, fcm, interests, origin, payloads, refusal, web};

#[test]
fn apns_is_told_what_the_swift_sdk_reads() {
    let (body, sent) = apns(json!({
        "aps": {"alert": {"title": "Hi"}, "sound": "default"},
        "data": {"order": 12345678901234567890123_f64, "nested": {"a": [1.50, null]}},
        "collapse_id": "c", "expiration": 1_900_000_000, "priority": 5, "unknown": true,
    }));
    assert_eq!(
        body["aps"],
        json!({"alert": {"title": "Hi"}, "sound": "default", "content-available": 1})
    );
    let ids = json!({"instanceId": "8f9a6e22-2483-49aa-8552-125f1a4c5781",
        "publishId": "pubid-33f3f68e-b0c5-438f-b50f-fae93f6c48df", "userShouldIgnore": true});
    assert_eq!(body["data"]["pusher"], ids);
    assert_eq!(body["data"]["nested"], json!({"a": [1.5, null]}));
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(
        (sent.push_type, sent.priority, sent.expiration),
        (PushType::Alert, Some(5), Some(1_900_000_000))
    );
    assert_eq!(sent.collapse_id.as_deref(), Some("c"));
}

#[test]
fn an_apple_device_is_woken_only_as_asked() {
    let (body, sent) = apns(json!({"aps": {"content-available": 1}, "data": {"a": 1}}));
    assert_eq!(body["data"]["pusher"].get("userShouldIgnore"), None);
    assert_eq!(
        (sent.push_type, sent.priority),
        (PushType::Background, Some(5))
    );

    let (body, sent) =
        apns(json!({"aps": {"alert": "a"}, "pusher": {"disable_delivery_tracking": true}}));
    assert_eq!(body["aps"], json!({"alert": "a"}));
    assert_eq!(body["data"]["pusher"].get("userShouldIgnore"), None);
    assert_eq!((sent.push_type, sent.priority), (PushType::Alert, None));

    let (body, sent) = apns(json!({"aps": {}, "data": {"a": 1}}));
    assert_eq!(body["aps"], json!({"content-available": 1}));
    assert_eq!(sent.push_type, PushType::Background);

    let (body, _) = apns(json!({"alert": "beside aps"}));
    assert_eq!(body["aps"]["alert"], "beside aps");
}

#[test]
fn a_live_activity_is_left_as_it_is() {
    let aps = json!({"timestamp": 1_800_000_000, "event": "update", "content-state": {"goals": 2}});
    let (body, sent) = apns(json!({"aps": aps, "push_type": "liveactivity", "priority": 10}));
    assert_eq!(body["aps"], aps);
    assert_eq!(body["data"]["pusher"].get("userShouldIgnore"), None);
    assert_eq!(
        (sent.push_type, sent.priority),
        (PushType::LiveActivity, Some(10))
    );
    assert_eq!(sent.push_type.topic_suffix(), ".push-type.liveactivity");
    let refused = interests(json!({"apns": {"aps": {}, "push_type": "shout"}}));
    assert!(refusal(AudienceKind::Interests, &refused).starts_with("`apns.push_type`"));
}

#[test]
fn native_parts_of_fcm_win_over_the_legacy_shape() {
    let sent = fcm(json!({
        "notification": {"title": "T", "click_action": "OPEN"},
        "priority": "normal",
        "android": {"priority": "HIGH", "direct_boot_ok": true,
            "notification": {"image": "https://example.com/i.png", "click_action": "NATIVE"}},
        "apns": {"payload": {"aps": {"badge": 1}}},
        "fcm_options": {"analytics_label": "spring"},
    }));
    let message = &sent["message"];
    assert_eq!(message["android"]["priority"], "HIGH");
    assert_eq!(message["android"]["direct_boot_ok"], true);
    assert_eq!(
        message["android"]["notification"]["image"],
        "https://example.com/i.png"
    );
    let tracking = "com.pusher.pushnotifications.OPEN_TRACKING";
    assert_eq!(message["android"]["notification"]["click_action"], tracking);
    let entry: Value = serde_json::from_str(message["data"]["pusher"].as_str().unwrap()).unwrap();
    assert_eq!(entry["clickAction"], "NATIVE");
    assert_eq!(message["apns"], json!({"payload": {"aps": {"badge": 1}}}));
    assert_eq!(message["fcm_options"], json!({"analytics_label": "spring"}));
    let wrong = interests(json!({"fcm": {"data": {}, "android": []}}));
    assert!(refusal(AudienceKind::Interests, &wrong).starts_with("`fcm.android`"));
    // FCM would refuse it for every device; it was found by fuzzing.
    let colour = interests(json!({"fcm": {"notification": {"color": "#fff"}}}));
    assert!(refusal(AudienceKind::Interests, &colour).starts_with("`fcm.notification.color`"));
}

#[test]
fn numbers_of_data_reach_the_device_as_written() {
    let body = br#"{"interests":["a"],"fcm":{"data":{"big":123456789012345678901234567890,"price":1.50,"s":"t","n":null,"o":{"a":1}}}}"#;
    let request = PublishRequest::parse(AudienceKind::Interests, body).unwrap();
    let Some(Rendered::Fcm(message)) = request.payloads.render(Platform::Fcm, &origin()) else {
        panic!()
    };
    let sent: Value = serde_json::from_slice(&message.body("t")).unwrap();
    let data = &sent["message"]["data"];
    assert_eq!(data["big"], "123456789012345678901234567890");
    assert_eq!(data["price"], "1.50");
    assert_eq!(
        (&data["s"], &data["n"], &data["o"]),
        (&json!("t"), &json!("null"), &json!(r#"{"a":1}"#))
    );

    let body = br#"{"interests":["a"],"apns":{"aps":{"alert":"x"},"data":{"big":123456789012345678901234567890}}}"#;
    let request = PublishRequest::parse(AudienceKind::Interests, body).unwrap();
    let Some(Rendered::Apns(sent)) = request.payloads.render(Platform::Apns, &origin()) else {
        panic!()
    };
    assert!(
        String::from_utf8(sent.body)
            .unwrap()
            .contains("123456789012345678901234567890")
    );
}

#[test]
fn numbers_in_aps_reach_the_device_as_they_were_written() {
    // Found by fuzzing: they were read as floating-point numbers and drifted with every reading.
    let number = "1777777777777777777777777.50";
    let body = format!(r#"{{"interests":["a"],"apns":{{"aps":{{"badge":{number}}}}}}}"#);
    let request = PublishRequest::parse(AudienceKind::Interests, body.as_bytes()).unwrap();
    let stored = serde_json::to_string(&request.payloads).unwrap();
    let again: Payloads = serde_json::from_str(&stored).unwrap();
    for payloads in [&request.payloads, &again] {
        let sent = payloads.apns.as_ref().unwrap().render(&origin()).body;
        assert!(String::from_utf8(sent).unwrap().contains(number));
    }
}

#[test]
fn the_legacy_fcm_shape_becomes_v1() {
    let sent = fcm(json!({
        "notification": {
            "title": "T", "body": "B", "android_channel_id": "ch", "icon": "i", "sound": "s", "tag": "t",
            "color": "#0a1B2c", "click_action": "OPEN", "body_loc_key": "bk", "body_loc_args": ["a", 1],
            "title_loc_key": "tk", "title_loc_args": "[\"x\"]", "unknown": 1
        },
        "data": {"k": "v"}, "time_to_live": 60, "collapse_key": "ck", "priority": "high"
    }));
    let message = &sent["message"];
    assert_eq!(message["token"], r#"t"o\ken"#);
    assert_eq!(message["notification"], json!({"title": "T", "body": "B"}));
    assert_eq!(
        message["android"],
        json!({
            // Nine of the sixty seconds are over.
            "ttl": "51s", "priority": "HIGH", "collapse_key": "ck",
            "notification": {
                "channel_id": "ch", "icon": "i", "sound": "s", "tag": "t", "color": "#0a1B2c",
                "click_action": "com.pusher.pushnotifications.OPEN_TRACKING",
                "body_loc_key": "bk", "body_loc_args": ["a", "1"], "title_loc_key": "tk", "title_loc_args": ["x"]
            }
        })
    );
    assert_eq!(message["data"]["k"], "v");
    let entry: Value = serde_json::from_str(message["data"]["pusher"].as_str().unwrap()).unwrap();
    assert_eq!(
        entry,
        json!({"instanceId": "8f9a6e22-2483-49aa-8552-125f1a4c5781",
            "publishId": "pubid-33f3f68e-b0c5-438f-b50f-fae93f6c48df",
            "clickAction": "OPEN", "hasDisplayableContent": true, "hasData": true})
    );
    let silent = fcm(json!({"data": {}}));
    assert_eq!(silent["message"].get("notification"), None);
    assert_eq!(silent["message"].get("android"), None);
}

#[test]
fn browsers_get_what_the_service_worker_reads() {
    let (body, sent) = web(json!({
        "notification": {"title": "T", "body": "B", "icon": "i", "deep_link": "d", "hide_notification_if_site_has_focus": true, "x": 1},
        "data": {"k": {"n": 1}}, "time_to_live": 60, "urgency": "very-low", "topic": "t-1"
    }));
    assert_eq!(
        body,
        json!({
            "notification": {"title": "T", "body": "B", "icon": "i", "deep_link": "d", "hide_notification_if_site_has_focus": true},
            "data": {"k": {"n": 1}, "pusher": {"instanceId": "8f9a6e22-2483-49aa-8552-125f1a4c5781",
                "publishId": "pubid-33f3f68e-b0c5-438f-b50f-fae93f6c48df", "hasDisplayableContent": true, "hasData": true}}
        })
    );
    assert_eq!(sent.ttl_secs, 51);
    assert_eq!(sent.urgency.map(|u| u.as_str()), Some("very-low"));
    let (body, sent) = web(json!({"data": {}}));
    assert_eq!(body["notification"], json!({}));
    assert_eq!(body["data"]["pusher"]["hasData"], false);
    assert_eq!(sent.ttl_secs, 2_419_200 - 9);
}

#[test]
fn each_platform_has_its_time_to_live() {
    let payloads = payloads(json!({
        "apns": {"aps": {"alert": "a"}, "expiration": ACCEPTED.as_secs() + 30},
        "fcm": {"data": {}, "time_to_live": 0},
        "web": {"data": {}},
    }));
    let secs = |platform| payloads.expires_at(platform, ACCEPTED).as_secs() - ACCEPTED.as_secs();
    assert_eq!(
        (
            secs(Platform::Apns),
            secs(Platform::Fcm),
            secs(Platform::Web)
        ),
        (30, 0, 2_419_200)
    );
}

#[test]
fn what_a_store_keeps_renders_the_same() {
    let payloads = payloads(json!({
        "apns": {"aps": {"alert": "a"}, "data": {"x": 1.50}, "pusher": {"disable_delivery_tracking": true}, "priority": 10},
        "fcm": {"notification": {"title": "t", "click_action": "c"}, "data": {"a": 1}, "priority": "normal"},
        "web": {"notification": {"title": "t"}, "topic": "t"},
    }));
    let kept = serde_json::to_string(&payloads).unwrap();
    let read: Payloads = serde_json::from_str(&kept).unwrap();
    for platform in Platform::ALL {
        assert_eq!(
            read.render(platform, &origin()),
            payloads.render(platform, &origin())
        );
    }
}

#[test]
fn an_apns_id_leads_to_its_publish() {
    let id = origin().publish;
    let delivery = id.delivery_uuid(DeviceOrdinal(0x1234)).to_string();
    assert_eq!(delivery, "33f3f68e-b0c5-438f-8000-000000001234");
    assert_eq!(PublishId::parse(&id.to_string()), Some(id));
    for bad in [
        "",
        "pubid-",
        "33f3f68e-b0c5-438f-b50f-fae93f6c48df",
        "pubid-33f3f68eb0c5438fb50ffae93f6c48df",
    ] {
        assert_eq!(PublishId::parse(bad), None, "{bad}");
    }
}
