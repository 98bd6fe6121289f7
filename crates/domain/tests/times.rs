//! When a publish is sent and when it ends: what is refused, and how the end reaches the gateways.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of a test fail the test"
)]

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::payload::{Origin, Rendered};
use domain::publish::{AudienceKind, Publish, PublishId, PublishRequest};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + secs)
}

fn request(rest: &Value) -> Result<PublishRequest, String> {
    let mut body = json!({"users": ["alice"], "fcm": {"data": {"a": 1}}});
    let fields = body.as_object_mut().unwrap();
    fields.extend(rest.as_object().unwrap().clone());
    PublishRequest::parse(AudienceKind::Users, body.to_string().as_bytes())
        .map_err(|error| error.to_string())
}

#[test]
fn what_is_no_time_is_refused() {
    for name in ["sendAt", "expiresAt"] {
        for bad in [
            json!(1_800_000_000),
            json!("soon"),
            json!("2027-01-15"),
            json!(["x"]),
        ] {
            let refused = request(&json!({ name: bad })).unwrap_err();
            assert!(refused.starts_with(&format!("`{name}`: ")), "{refused}");
        }
        assert!(request(&json!({ name: null })).is_ok());
    }
    for bad in [json!("true"), json!(1), json!([])] {
        let refused = request(&json!({"dryRun": bad})).unwrap_err();
        assert!(refused.starts_with("`dryRun`: "), "{refused}");
    }
}

#[test]
fn times_out_of_order_are_refused() {
    let checked = |fields: Value| request(&fields).unwrap().check_times(NOW);
    let text = |secs| at(secs).to_string();
    let year = 366 * 24 * 60 * 60;
    for bad in [
        json!({"sendAt": text(year + 1)}),
        json!({"expiresAt": text(0)}),
        json!({"expiresAt": text(-60)}),
        json!({"sendAt": text(100), "expiresAt": text(100)}),
        json!({"sendAt": text(100), "expiresAt": text(50)}),
    ] {
        assert!(checked(bad.clone()).is_err(), "{bad}");
    }
    for good in [
        json!({}),
        json!({"sendAt": text(year), "expiresAt": text(year + 1)}),
        json!({"sendAt": text(-60), "expiresAt": text(1)}),
        json!({"expiresAt": text(1)}),
    ] {
        assert_eq!(checked(good.clone()), Ok(()), "{good}");
    }
}

fn publish(rest: &Value, expires_at: Option<Timestamp>) -> Publish {
    Publish {
        id: PublishId::random(),
        instance: InstanceId::random(),
        accepted_at: at(-1000),
        send_at: NOW,
        expires_at,
        payloads: request(rest).unwrap().payloads,
        trace: None,
    }
}

#[test]
fn an_end_caps_every_time_to_live() {
    let payloads = json!({
        "apns": {"aps": {"alert": "x"}},
        "fcm": {"data": {}, "time_to_live": 60},
        "web": {"notification": {}, "time_to_live": 3600},
    });
    let open = publish(&payloads, None);
    assert_eq!(
        open.gives_up_at(Platform::Fcm),
        at(60),
        "from when it is sent"
    );
    assert!(!open.is_expired(at(1_000_000)));
    let capped = publish(&payloads, Some(at(100)));
    let ends = Platform::ALL.map(|platform| capped.gives_up_at(platform));
    assert_eq!(ends, [at(100), at(60), at(100)]);
    assert!(!capped.is_expired(at(99)) && capped.is_expired(at(100)));
}

fn render(platform: Platform, rest: &Value, expires_at: Option<Timestamp>) -> Rendered {
    let publish = publish(rest, expires_at);
    let origin = Origin {
        instance: publish.instance,
        publish: publish.id,
        send_at: publish.send_at,
        expires_at,
        now: at(10),
    };
    publish.payloads.render(platform, &origin).unwrap()
}

fn fcm_ttl(rest: &Value, expires_at: Option<Timestamp>) -> Value {
    let Rendered::Fcm(message) = render(Platform::Fcm, rest, expires_at) else {
        panic!("rendered for another platform")
    };
    let body: Value = serde_json::from_slice(&message.body("t")).unwrap();
    body["message"]["android"]["ttl"].clone()
}

#[test]
fn the_gateways_are_told_of_the_end() {
    let end = Some(at(100));
    for (fcm, without, with) in [
        (json!({"data": {}}), Value::Null, json!("90s")),
        (
            json!({"data": {}, "time_to_live": 20}),
            json!("10s"),
            json!("10s"),
        ),
        (
            json!({"data": {}, "time_to_live": 500}),
            json!("490s"),
            json!("90s"),
        ),
        (
            json!({"android": {"ttl": "500.5s"}}),
            json!("491s"),
            json!("90s"),
        ),
        (json!({"android": {"ttl": "5s"}}), json!("0s"), json!("0s")),
        (
            json!({"android": {"ttl": "60s"}, "time_to_live": 20}),
            json!("50s"),
            json!("50s"),
        ),
        (
            json!({"android": {"ttl": null}, "time_to_live": 20}),
            json!("10s"),
            json!("10s"),
        ),
    ] {
        let fcm = json!({ "fcm": fcm });
        assert_eq!(fcm_ttl(&fcm, None), without, "{fcm}");
        assert_eq!(fcm_ttl(&fcm, end), with, "{fcm}");
    }
    for (expiration, with) in [
        (json!({}), at(100).as_secs()),
        (json!({"expiration": 0}), 0),
        (json!({"expiration": at(50).as_secs()}), at(50).as_secs()),
        (json!({"expiration": at(500).as_secs()}), at(100).as_secs()),
    ] {
        let mut apns = json!({"aps": {"alert": "x"}});
        let fields = apns.as_object_mut().unwrap();
        fields.extend(expiration.as_object().unwrap().clone());
        let Rendered::Apns(apns) = render(Platform::Apns, &json!({ "apns": apns }), end) else {
            panic!("rendered for another platform")
        };
        assert_eq!(apns.expiration, Some(with));
    }
    let Rendered::Web(web) = render(Platform::Web, &json!({"web": {"data": {}}}), end) else {
        panic!("rendered for another platform")
    };
    assert_eq!(web.ttl_secs, 90);
}

#[test]
fn a_time_to_live_in_the_gateways_own_terms_counts_for_retries_too() {
    let ends = |fcm: &Value| publish(&json!({ "fcm": fcm }), None).gives_up_at(Platform::Fcm);
    for (ttl, millis) in [
        ("0s", 0),
        ("60s", 60_000),
        ("3.5s", 3500),
        ("0.000999999s", 0),
        ("2419200s", 2_419_200_000),
    ] {
        let end = ends(&json!({"android": {"ttl": ttl}, "time_to_live": 30}));
        assert_eq!(end.as_millis() - NOW.as_millis(), millis, "{ttl}");
    }
    let end = ends(&json!({"android": {"priority": "HIGH"}, "time_to_live": 30}));
    assert_eq!(end, at(30));
}

#[test]
fn what_is_no_time_to_live_in_the_gateways_own_terms_is_refused() {
    for bad in [
        json!(60),
        json!({"seconds": 60}),
        json!(""),
        json!("s"),
        json!("60"),
        json!("-1s"),
        json!("+1s"),
        json!("1e3s"),
        json!("1.s"),
        json!(".5s"),
        json!("1.0000000001s"),
        json!("1.2.3s"),
        json!("NaNs"),
        json!("60 s"),
        json!("2419200.001s"),
        json!("99999999999999999999s"),
        json!("{{n}}s"),
    ] {
        let refused = request(&json!({"fcm": {"android": {"ttl": bad}}})).unwrap_err();
        assert!(refused.starts_with("`fcm.android.ttl`: "), "{refused}");
    }
}
