//! A publish in lines: the first line, what may stand behind it, and each user's own payload, against a filling of places that was
//! written apart ([`crate::filling`]).

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::interest::INTEREST_NAME_LENGTH_MAX;
use domain::payload::{Origin, Payloads, Rendered, Template, Values};
use domain::publish::{AudienceKind, Line, PublishId, PublishLines, PublishRequest};
use domain::user::USER_ID_LENGTH_MAX;

use crate::filling;
use crate::json::Json;
use crate::model;
use crate::payload_translation::opened;
use crate::verdict::Verdict;

const PARTS: [&str; 3] = ["apns", "fcm", "web"];
const TOKEN: &str = "t";

/// Checks a byte that says which kind of audience, and the lines.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((first, body)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let kind = if first & 1 == 0 {
        AudienceKind::Interests
    } else {
        AudienceKind::Users
    };
    let mut lines = body.split(|byte| *byte == b'\n');
    let head = lines.next().unwrap_or_default();
    let Ok(publish) = PublishLines::parse(kind, head) else {
        return Verdict::REFUSED;
    };
    let template = publish.request().payloads.template.as_ref();
    assert!(template.is_none() || kind == AudienceKind::Users);
    // Of a name that stands twice the program fills both, and the last counts; of one value only the last is there.
    let read = Json::read_whole(head);
    if let Some(read) = read.as_ref().filter(|_| kind == AudienceKind::Users) {
        let parts = PARTS.iter().filter_map(|name| read.field(name));
        let has_places = parts.map(filling::places).sum::<usize>() > 0;
        assert_eq!(template.is_some(), has_places);
    }
    let (mut taken, mut filled, mut refused) = (0, 0, 0);
    for line in lines {
        match publish.line(line) {
            Ok(Line::User(user, values)) => {
                taken += 1;
                assert_eq!(kind, AudienceKind::Users);
                assert!((1..=USER_ID_LENGTH_MAX).contains(&user.as_str().chars().count()));
                let values = values.unwrap_or_default();
                let modelled = is_what_it_says(line, user.as_str(), &values);
                if let (Some(template), Some(read), Some(modelled)) = (template, &read, modelled) {
                    filled += usize::from(fills(template, &values, read, &modelled));
                }
            }
            Ok(Line::Interest(name)) => {
                taken += 1;
                assert_eq!(kind, AudienceKind::Interests);
                assert!((1..=INTEREST_NAME_LENGTH_MAX).contains(&name.as_str().len()));
            }
            Err(why) => {
                refused += 1;
                let why = why.to_string();
                assert!((1..400).contains(&why.len()), "{why}");
                assert!(!why.contains(char::is_control), "one line: {why:?}");
            }
        }
    }
    Verdict::of(format!("{taken} taken, {filled} filled, {refused} refused"))
}

/// A line by another reader, and its values by that one. `None` where a name stands twice in it.
fn is_what_it_says(line: &[u8], user: &str, values: &Values) -> Option<filling::Values> {
    let stored = Values::from_stored(&values.as_json());
    assert_eq!(stored.as_ref(), Some(values), "values read back");
    let read = Json::read_whole(line)?;
    let named = read.text().or_else(|| read.field("user")?.text());
    assert_eq!(named, Some(user));
    let modelled = filling::values(read.field("values"));
    let kept = Json::read(values.as_json().as_bytes()).expect("it is JSON");
    assert_eq!(filling::values(Some(&kept)), modelled);
    Some(modelled)
}

/// A filled template is the publish that somebody would have sent who filled it in himself: taken or refused as that, and the same
/// for every gateway. Whether it was taken.
fn fills(template: &Template, values: &Values, read: &Json, modelled: &filling::Values) -> bool {
    let mut body = String::from(r#"{"users":["u"]"#);
    let mut is_complete = true;
    for name in PARTS {
        let Some(part) = read.field(name) else {
            continue;
        };
        match filling::fill(part, modelled) {
            Some(part) => {
                body.push_str(&format!(r#","{name}":"#));
                part.write(&mut body);
            }
            None => is_complete = false,
        }
    }
    body.push('}');
    let filled = template.fill(values);
    if !is_complete {
        assert_eq!(
            filled.map(|_| ()).map_err(|why| why.into_owned()),
            Err("missing_value".to_owned())
        );
        return false;
    }
    let sent = PublishRequest::parse(AudienceKind::Users, body.as_bytes());
    match (filled, sent) {
        (Ok(filled), Ok(sent)) => {
            are_the_same(&filled, &sent.payloads);
            true
        }
        (Err(why), Err(_)) => {
            assert!(
                ["invalid_payload", "payload_too_large"].contains(&&*why),
                "{why}"
            );
            false
        }
        // How a text is written counts against the limits, and the two write differently.
        (Err(why), Ok(_)) => {
            assert_eq!(why, "payload_too_large", "{body}");
            false
        }
        (Ok(_), Err(why)) => {
            assert!(why.to_string().contains("too large"), "{why}: {body}");
            false
        }
    }
}

fn are_the_same(filled: &Payloads, sent: &Payloads) {
    // Filled payloads are stored and read like any.
    let stored = serde_json::to_string(filled).expect("it is written");
    let again: Payloads = serde_json::from_str(&stored).expect("it reads back");
    let origin = Origin {
        instance: InstanceId::parse(model::INSTANCE).expect("it is one"),
        publish: PublishId::parse(model::PUBLISH).expect("it is one"),
        send_at: Timestamp::from_secs(1_700_000_000),
        expires_at: None,
        now: Timestamp::from_secs(1_700_000_001),
    };
    for platform in Platform::ALL {
        let filled = filled.render(platform, &origin);
        assert_eq!(filled, again.render(platform, &origin));
        match (filled, sent.render(platform, &origin)) {
            (Some(Rendered::Apns(mut filled)), Some(Rendered::Apns(mut sent))) => {
                mean_the_same(&filled.body, &sent.body);
                (filled.body, sent.body) = Default::default();
                assert_eq!(filled, sent);
            }
            (Some(Rendered::Web(mut filled)), Some(Rendered::Web(mut sent))) => {
                mean_the_same(&filled.plaintext, &sent.plaintext);
                (filled.plaintext, sent.plaintext) = Default::default();
                assert_eq!(filled, sent);
            }
            (Some(Rendered::Fcm(filled)), Some(Rendered::Fcm(sent))) => {
                let (filled, sent) = (opened(&filled.body(TOKEN)), opened(&sent.body(TOKEN)));
                assert!(
                    mean_the_same_data(&filled, &sent),
                    "{filled:?}\nis not\n{sent:?}"
                );
            }
            (None, None) => {}
            (filled, sent) => panic!("{filled:?}\nis not\n{sent:?}"),
        }
    }
}

fn mean_the_same(filled: &[u8], sent: &[u8]) {
    let read = |body: &[u8]| Json::read(body).expect("it is JSON");
    let (filled, sent) = (read(filled), read(sent));
    assert!(filled.means(&sent), "{filled:?}\nis not\n{sent:?}");
}

/// Whether two values mean the same, where a text may hold JSON, as FCM's data does.
fn mean_the_same_data(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Text(Some(x)), Json::Text(Some(y))) if x != y => {
            let read = |text: &str| Json::read(text.as_bytes());
            matches!((read(x), read(y)), (Some(x), Some(y)) if x.means(&y))
        }
        (Json::List(a), Json::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| mean_the_same_data(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| mean_the_same_data(a, b)))
        }
        (a, b) => a.means(b),
    }
}
