//! What holds for whatever arrives.

use domain::device::Platform;
use domain::payload::Rendered;
use domain::publish::{AudienceKind, PublishRequest};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{interests, origin, parse};

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![
            "[a-z]{1,8}",
            prop::sample::select(vec![
                "aps",
                "alert",
                "data",
                "pusher",
                "notification",
                "title",
                "time_to_live",
                "priority"
            ])
            .prop_map(String::from),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_taken_renders_as_json_with_its_ids(apns in arbitrary_json(), fcm in arbitrary_json(), web in arbitrary_json()) {
        for part in [json!({"apns": apns}), json!({"fcm": fcm}), json!({"web": web})] {
            let Ok(request) = parse(AudienceKind::Interests, &interests(part)) else { continue };
            for platform in request.payloads.platforms() {
                let bytes = match request.payloads.render(platform, &origin()) {
                    Some(Rendered::Apns(sent)) => sent.body,
                    Some(Rendered::Fcm(sent)) => sent.body("token"),
                    Some(Rendered::Web(sent)) => sent.plaintext,
                    None => panic!("no payload for {platform}"),
                };
                let sent: Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert!(sent.to_string().contains("pubid-33f3f68e-b0c5-438f-b50f-fae93f6c48df"));
                if platform == Platform::Fcm {
                    let data = sent["message"]["data"].as_object().unwrap();
                    prop_assert!(data.values().all(Value::is_string));
                }
            }
        }
    }

    #[test]
    fn nothing_from_outside_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = PublishRequest::parse(AudienceKind::Interests, &body);
        let _ = PublishRequest::parse(AudienceKind::Users, &body);
    }
}
