//! A device as a line of a file: one JSON object, the same for import and export.
//!
//! A line holds a gateway token, which is a secret, so what is said about a bad line names fields and columns and never shows
//! a value. What is checked when a device registers by itself is checked here by the same types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::clock::Timestamp;
use domain::device::{ApnsEnvironment, BundleId, DeviceId, DeviceMetadata, GatewayToken, Platform};
use domain::interest::InterestName;
use domain::user::UserId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use store::transfer::{DeviceImport, ExportedDevice};

const PRODUCTION: &str = "production";
const SANDBOX: &str = "sandbox";

/// The fields and what must stand in them.
const FIELDS: [(&str, &str); 9] = [
    ("id", TEXT),
    ("platform", TEXT),
    ("token", TEXT),
    ("bundleIdentifier", TEXT),
    ("userId", TEXT),
    ("interests", TEXTS),
    ("metadata", OBJECT),
    ("environment", TEXT),
    ("registeredAt", TEXT),
];
const TEXT: &str = "a text";
const TEXTS: &str = "a list of texts";
const OBJECT: &str = "an object";
const NO_OBJECT: &str = "it is no JSON object";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Read {
    id: Option<String>,
    platform: Option<String>,
    token: Option<String>,
    bundle_identifier: Option<String>,
    user_id: Option<String>,
    interests: Option<Vec<String>>,
    metadata: Option<Value>,
    environment: Option<String>,
    registered_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    id: String,
    platform: Platform,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    interests: &'a [InterestName],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
    registered_at: String,
}

/// Reads a line, or says why it cannot.
pub(crate) fn parse(line: &[u8]) -> Result<DeviceImport, String> {
    // The library would read a list as the fields in their order.
    if line.trim_ascii_start().first() == Some(&b'[') {
        return Err(NO_OBJECT.into());
    }
    let read: Read = serde_json::from_slice(line).map_err(|error| diagnose(line, &error))?;
    let missing = |field: &str| format!("`{field}` is missing");
    let word = read.platform.ok_or_else(|| missing("platform"))?;
    let platform =
        Platform::parse(&word).ok_or_else(|| "`platform` must be apns, fcm or web".to_owned())?;
    let token = read.token.ok_or_else(|| missing("token"))?;
    let token = GatewayToken::parse(platform, &token).map_err(|error| error.to_string())?;
    // As in a registration: only Apple's gateway wants it, and always.
    let bundle_id = match platform {
        Platform::Apns => {
            let id = read
                .bundle_identifier
                .ok_or_else(|| missing("bundleIdentifier"))?;
            Some(BundleId::parse(&id).map_err(|error| error.to_string())?)
        }
        Platform::Fcm | Platform::Web => None,
    };
    let id = read
        .id
        .as_deref()
        .map(|id| own_id(id, platform))
        .transpose()?;
    let metadata = read.metadata.as_ref().map(DeviceMetadata::parse);
    Ok(DeviceImport {
        id: id.unwrap_or_else(|| DeviceId::random(platform)),
        id_is_known: id.is_some(),
        token,
        bundle_id,
        environment: read.environment.as_deref().map(environment).transpose()?,
        metadata: metadata.transpose().map_err(|error| error.to_string())?,
        user: read
            .user_id
            .map(UserId::parse)
            .transpose()
            .map_err(|error| format!("`userId`: {error}"))?,
        interests: interests(read.interests.unwrap_or_default())?,
        registered_at: read.registered_at.as_deref().map(time).transpose()?,
    })
}

fn own_id(id: &str, platform: Platform) -> Result<DeviceId, String> {
    DeviceId::parse(id)
        .filter(|id| id.platform() == platform)
        .ok_or_else(|| format!("`id` must be {platform}- and a UUID"))
}

fn environment(word: &str) -> Result<ApnsEnvironment, String> {
    match word {
        PRODUCTION => Ok(ApnsEnvironment::Production),
        SANDBOX => Ok(ApnsEnvironment::Sandbox),
        _ => Err(format!("`environment` must be {PRODUCTION} or {SANDBOX}")),
    }
}

fn interests(names: Vec<String>) -> Result<Vec<InterestName>, String> {
    let mut interests = names
        .into_iter()
        .map(InterestName::parse)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("`interests`: {error}"))?;
    interests.sort_unstable();
    interests.dedup();
    Ok(interests)
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        "`registeredAt` must be a time like 2026-11-23T09:00:00Z (RFC 3339)".to_owned()
    })
}

/// Why a line does not read. The library's own words may show values, so they are used for syntax alone.
fn diagnose(line: &[u8], error: &serde_json::Error) -> String {
    let fields = match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return NO_OBJECT.into(),
        Err(syntax) => return format!("it is no JSON, from column {} on", syntax.column()),
    };
    for (name, value) in &fields {
        let Some((_, wanted)) = FIELDS.iter().find(|(field, _)| field == name) else {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            return format!("there is no field `{shown}`");
        };
        let fits = value.is_null()
            || match *wanted {
                TEXT => value.is_string(),
                TEXTS => value
                    .as_array()
                    .is_some_and(|texts| texts.iter().all(Value::is_string)),
                _ => true,
            };
        if !fits {
            return format!("`{name}` must be {wanted}");
        }
    }
    format!("a field stands in it twice, at column {}", error.column())
}

/// Writes a line, with its end, behind what is in `to` already.
pub(crate) fn write(device: &ExportedDevice, to: &mut Vec<u8>) -> serde_json::Result<()> {
    let metadata: &RawValue = serde_json::from_str(device.metadata.as_json())?;
    let web;
    let token = match &device.token {
        GatewayToken::Apns(token) | GatewayToken::Fcm(token) => &**token,
        GatewayToken::Web(subscription) => {
            web = STANDARD.encode(subscription.to_json());
            &web
        }
    };
    let written = Written {
        id: device.id.to_string(),
        platform: device.token.platform(),
        token,
        bundle_identifier: device.bundle_id.as_ref().map(|id| id.as_str()),
        user_id: device.user.as_ref().map(|user| user.as_str()),
        interests: &device.interests,
        metadata: (metadata.get() != "{}").then_some(metadata),
        // What is tried first anyway needs no word.
        environment: (device.environment == ApnsEnvironment::Sandbox).then_some(SANDBOX),
        registered_at: device.registered_at.to_string(),
    };
    serde_json::to_writer(&mut *to, &written)?;
    to.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "5ec2e7";
    const BAD: &[(&str, &str)] = &[
        ("", "no JSON"),
        ("{", "no JSON"),
        (r#"["5ec2e7"]"#, "no JSON object"),
        (
            r#"[null,"fcm","5ec2e7",null,null,null,null,null,null]"#,
            "no JSON object",
        ),
        (r#""5ec2e7""#, "no JSON object"),
        (r#"{"token":"5ec2e7"}"#, "`platform` is missing"),
        (r#"{"platform":"5ec2e7","token":"x"}"#, "`platform` must be"),
        (r#"{"platform":"fcm"}"#, "`token` is missing"),
        (
            r#"{"platform":"fcm","token":["5ec2e7"]}"#,
            "`token` must be a text",
        ),
        (r#"{"platform":"fcm","token":"5ec2e7 x"}"#, "visible ASCII"),
        (
            r#"{"platform":"web","token":"5ec2e7"}"#,
            "push subscription",
        ),
        (
            r#"{"platform":"apns","token":"5ec2e7"}"#,
            "`bundleIdentifier` is missing",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","user":"x"}"#,
            "no field `user`",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","userId":7}"#,
            "`userId` must be a text",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","userId":""}"#,
            "`userId`",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","interests":"x"}"#,
            "`interests` must be",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","interests":["a b"]}"#,
            "`interests`",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","metadata":[]}"#,
            "`metadata` must be",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","id":"web-x"}"#,
            "`id` must be fcm-",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","environment":"x"}"#,
            "`environment` must be",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","registeredAt":"x"}"#,
            "`registeredAt` must be",
        ),
        (
            r#"{"platform":"fcm","token":"5ec2e7","token":"5ec2e7"}"#,
            "twice",
        ),
    ];

    #[test]
    fn a_line_reads() {
        let line =
            br#"{"platform":"apns","token":"AbCd","bundleIdentifier":"com.example","userId":"ann",
            "interests":["b","a","b"],"metadata":null}"#;
        let device = parse(line).unwrap();
        assert_eq!(device.token.identity(), "abcd");
        assert_eq!(device.user.unwrap().as_str(), "ann");
        assert_eq!(device.interests.len(), 2);
        assert!(!device.id_is_known && device.metadata.is_none());
        assert!(parse(br#"{"platform":"fcm","token":"t"}"#).is_ok());
    }

    #[test]
    fn a_bad_line_is_told_without_its_values() {
        for (line, wanted) in BAD {
            let why = parse(line.as_bytes()).unwrap_err();
            assert!(
                why.contains(wanted) && !why.contains(SECRET),
                "{line}: {why}"
            );
        }
        assert!(
            parse(b"{\"platform\":\"\xff\"}")
                .unwrap_err()
                .contains("no JSON")
        );
    }
}
