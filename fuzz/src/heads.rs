//! What goes beside the body of a notification, and how long it is tried, as [`crate::model`] has the bodies: from the documents
//! (Apple: Sending notification requests to APNs; RFC 8030; Firebase: `AndroidConfig.ttl`; Beams: publish-payloads reference).

use crate::json::Json;

/// Four weeks, in milliseconds: as long as any gateway keeps anything.
const TIME_TO_LIVE_MAX: i128 = 28 * 24 * 60 * 60 * 1000;

/// The times of a publish, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From when times to live count.
    pub send_at: i64,
    /// When the whole publish ends.
    pub expires_at: Option<i64>,
    /// Now.
    pub now: i64,
}

impl Times {
    /// Three numbers with spaces between: milliseconds from a day of 2023 until it is sent, until now, and until it ends, if it does.
    pub fn read(text: &str) -> Self {
        let mut numbers = text
            .split_ascii_whitespace()
            .map(|number| number.parse::<u32>().ok());
        let mut next = || Some(1_700_000_000_000 + i64::from(numbers.next()??));
        Self {
            send_at: next().unwrap_or(1_700_000_000_000),
            now: next().unwrap_or(1_700_000_000_000),
            expires_at: next(),
        }
    }

    /// What is left of a time to live in seconds: an end that is in the middle of a second is at its end.
    fn left(&self, time_to_live: i128) -> i64 {
        let passed = (i128::from(self.now) - i128::from(self.send_at)).max(0);
        let mut left = (time_to_live - passed).max(0);
        if let Some(end) = self.expires_at {
            left = left.min((i128::from(end) - i128::from(self.now)).max(0));
        }
        i64::try_from((left + 999) / 1000).expect("at most four weeks")
    }
}

fn time_to_live(part: &Json) -> i128 {
    let secs = part.field("time_to_live").and_then(Json::whole);
    secs.map_or(TIME_TO_LIVE_MAX, |secs| i128::from(secs) * 1000)
}

/// How long FCM tries, in milliseconds, where the payload says it. Google's own term, a text such as `"3.5s"`, wins.
fn fcm_time_to_live(part: &Json) -> Option<i128> {
    let own = part.field("android").and_then(|own| own.field("ttl"));
    let Some(own) = own.and_then(Json::text) else {
        return part.field("time_to_live").map(|_| time_to_live(part));
    };
    let number = own.trim_end_matches('s');
    let (secs, fraction) = number.split_once('.').unwrap_or((number, ""));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let number = |text: &str| text.parse::<i128>().expect("it was taken");
    Some(number(secs) * 1000 + number(&millis))
}

/// The `apns-*` headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Apns {
    /// `apns-push-type`
    pub push_type: String,
    /// What `apns-topic` has behind the bundle identifier.
    pub topic_suffix: &'static str,
    /// `apns-priority`
    pub priority: Option<i64>,
    /// `apns-expiration`
    pub expiration: Option<i64>,
    /// `apns-collapse-id`
    pub collapse_id: Option<String>,
}

/// The headers of a notification for APNs.
pub fn apns(part: &Json, times: &Times) -> Apns {
    let aps = part.field("aps").and_then(Json::object);
    let shows = part.field("alert").is_some()
        || ["alert", "badge", "sound"]
            .iter()
            .any(|name| aps.is_some_and(|aps| aps.contains_key(*name)));
    let by_content = if shows { "alert" } else { "background" };
    let push_type = part.field("push_type").and_then(Json::text);
    let push_type = push_type.unwrap_or(by_content).to_owned();
    let own = part.field("expiration").and_then(Json::whole);
    let end = times.expires_at.map(|end| end.div_euclid(1000));
    Apns {
        topic_suffix: match push_type.as_str() {
            "liveactivity" => ".push-type.liveactivity",
            "voip" => ".voip",
            "location" => ".location-query",
            "complication" => ".complication",
            "fileprovider" => ".pushkit.fileprovider",
            "pushtotalk" => ".voip-ptt",
            "widgets" => ".push-type.widgets",
            "controls" => ".push-type.controls",
            _ => "",
        },
        // Apple refuses a background notification at any other.
        priority: if push_type == "background" {
            Some(5)
        } else {
            part.field("priority").and_then(Json::whole)
        },
        expiration: match (own, end) {
            (Some(own), Some(end)) => Some(own.min(end)),
            (own, end) => own.or(end),
        },
        collapse_id: part
            .field("collapse_id")
            .and_then(Json::text)
            .map(str::to_owned),
        push_type,
    }
}

/// The headers of a push message.
#[derive(Debug, PartialEq, Eq)]
pub struct Web {
    /// `TTL`
    pub ttl_secs: i64,
    /// `Urgency`
    pub urgency: Option<String>,
    /// `Topic`
    pub topic: Option<String>,
}

/// The headers of a push message for a browser.
pub fn web(part: &Json, times: &Times) -> Web {
    let text = |name| part.field(name).and_then(Json::text).map(str::to_owned);
    Web {
        ttl_secs: times.left(time_to_live(part)),
        urgency: text("urgency"),
        topic: text("topic"),
    }
}

/// `android.ttl`, in seconds; it is left to FCM where neither the payload nor the publish has an end.
pub fn fcm_ttl(part: &Json, times: &Times) -> Option<i64> {
    let own = fcm_time_to_live(part);
    let has_end = own.is_some() || times.expires_at.is_some();
    has_end.then(|| times.left(own.unwrap_or(TIME_TO_LIVE_MAX)))
}

/// When a delivery is given up, the end of the whole publish aside.
pub fn gives_up_at(platform: &str, part: &Json, times: &Times) -> i64 {
    let send_at = i128::from(times.send_at);
    let own = match (platform, part.field("expiration").and_then(Json::whole)) {
        ("apns", Some(0)) => send_at,
        ("apns", Some(secs)) => i128::from(secs) * 1000,
        ("apns", None) => send_at + TIME_TO_LIVE_MAX,
        ("fcm", _) => send_at + fcm_time_to_live(part).unwrap_or(TIME_TO_LIVE_MAX),
        _ => send_at + time_to_live(part),
    };
    i64::try_from(own.min(send_at + TIME_TO_LIVE_MAX)).expect("within four weeks of the start")
}
