//! Payloads with places that each user's own values fill: `{{name}}` in any text of a payload.
//!
//! Looking a value up by its name is all there is: no logic, no access to anything else. A place stands in the text of a JSON
//! string, is filled in the text, and the string is written anew, so whatever a value holds, the result is JSON of the same shape.
//! What comes out is checked as if it had been published by itself. A text is filled whole or the payload is not made at all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Payloads, RawObject};
use crate::outcome::Reason;
use crate::publish::InvalidPublish;

/// The longest name of a value, in bytes.
pub const VALUE_NAME_LENGTH_MAX: usize = 64;
/// How many values a user may have.
pub const VALUES_PER_USER_MAX: usize = 64;
/// The longest values of a user, in bytes of JSON. No payload takes more.
pub const VALUES_LENGTH_MAX: usize = 4096;

const OPENING: &str = "{{";
const CLOSING: &str = "}}";

/// The values of one user, by name. Kept as the JSON object of texts that [`Values::as_json`] writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

/// Why something is no set of values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValues {
    /// Not an object.
    #[error("must be an object")]
    NotAnObject,
    /// A name that no place can have.
    #[error(
        "has a name that is not made of 1 to {VALUE_NAME_LENGTH_MAX} letters, digits, hyphens, dots and underscores"
    )]
    Name,
    /// A value that is no text.
    #[error("may have strings, numbers, true and false, but `{0}` is something else")]
    Kind(String),
    /// Too many, or too long.
    #[error("has more than {VALUES_PER_USER_MAX} values or {VALUES_LENGTH_MAX} bytes")]
    TooLarge,
}

impl Values {
    /// Checks values as a publisher sends them: strings, and numbers, `true` and `false` as they were written.
    pub fn parse(raw: &RawValue) -> Result<Self, InvalidValues> {
        if raw.get().len() > VALUES_LENGTH_MAX {
            return Err(InvalidValues::TooLarge);
        }
        let fields: RawObject =
            serde_json::from_str(raw.get()).map_err(|_| InvalidValues::NotAnObject)?;
        if fields.len() > VALUES_PER_USER_MAX {
            return Err(InvalidValues::TooLarge);
        }
        let mut values = BTreeMap::new();
        for (name, raw) in fields {
            if !is_name(&name) {
                return Err(InvalidValues::Name);
            }
            let text = match raw.get().as_bytes().first() {
                Some(b'"') => serde_json::from_str(raw.get()).ok(),
                Some(b'-' | b'0'..=b'9' | b't' | b'f') => Some(raw.get().to_owned()),
                _ => None,
            };
            let Some(text) = text else {
                return Err(InvalidValues::Kind(name));
            };
            values.insert(name, text);
        }
        Ok(Self(values))
    }

    /// What a store kept; `None` where it makes no sense.
    pub fn from_stored(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    /// The values, as JSON.
    pub fn as_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_name(name: &str) -> bool {
    (1..=VALUE_NAME_LENGTH_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// The payloads of a publish as they were sent, with at least one place in them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Template {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apns: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fcm: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    web: Option<Box<RawValue>>,
}

impl Template {
    /// A template of these parts of a body; `None` if there is no place in any of them.
    ///
    /// # Errors
    ///
    /// [`InvalidPublish`] names the part where `{{` begins something that is no place.
    pub fn of(
        apns: Option<&RawValue>,
        fcm: Option<&RawValue>,
        web: Option<&RawValue>,
    ) -> Result<Option<Self>, InvalidPublish> {
        let mut places = 0;
        for (name, part) in [("apns", apns), ("fcm", fcm), ("web", web)] {
            let Some(part) = part else { continue };
            let count = &mut places;
            let found = rewrite(part.get(), |text| {
                *count += fill(text, |_| Some("")).map_err(|_| ())?.1;
                Ok(None)
            });
            if found.is_err() {
                let rule = "has `{{` that begins no place; a place is {{name}}, of letters, digits, hyphens, dots and \
                            underscores, in a value";
                return Err(InvalidPublish::new(name, rule));
            }
        }
        let own = |part: Option<&RawValue>| part.map(ToOwned::to_owned);
        Ok((places > 0).then(|| Self {
            apns: own(apns),
            fcm: own(fcm),
            web: own(web),
        }))
    }

    /// The payloads for a user with these values.
    ///
    /// # Errors
    ///
    /// The reason to reject the user's deliveries with: `missing_value`; `payload_too_large`; or `invalid_payload` if a value
    /// made something that could not have been published.
    pub fn fill(&self, values: &Values) -> Result<Payloads, Reason> {
        let part = |part: &Option<Box<RawValue>>| -> Result<Option<Box<RawValue>>, Reason> {
            let Some(part) = part else { return Ok(None) };
            let text = rewrite(part.get(), |text| {
                match fill(text, |name| values.0.get(name).map(String::as_str)) {
                    Ok((Cow::Owned(filled), _)) => Ok(Some(filled)),
                    Ok((Cow::Borrowed(_), _)) => Ok(None),
                    Err(NotFilled) => Err(()),
                }
            })
            .map_err(|()| Reason::Borrowed("missing_value"))?;
            RawValue::from_string(text)
                .map(Some)
                .map_err(|_| "invalid_payload".into())
        };
        let payloads = Payloads::parse(
            part(&self.apns)?.as_deref(),
            part(&self.fcm)?.as_deref(),
            part(&self.web)?.as_deref(),
        )
        .map_err(|_| Reason::Borrowed("invalid_payload"))?;
        crate::publish::check_sizes(&payloads)
            .map_err(|_| Reason::Borrowed("payload_too_large"))?;
        Ok(payloads)
    }
}

/// A place has no value, or there is something like a place that is none.
#[derive(Debug, PartialEq, Eq)]
struct NotFilled;

/// Fills the places of a text. With how many there were; borrowed if there were none.
fn fill<'a, 'v>(
    text: &'a str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<(Cow<'a, str>, usize), NotFilled> {
    let mut places = 0;
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(OPENING) {
        let (name, after) = behind.split_once(CLOSING).ok_or(NotFilled)?;
        let name = name.trim();
        if !is_name(name) {
            return Err(NotFilled);
        }
        filled.push_str(before);
        filled.push_str(value(name).ok_or(NotFilled)?);
        places += 1;
        rest = after;
    }
    if places == 0 {
        return Ok((Cow::Borrowed(text), 0));
    }
    filled.push_str(rest);
    Ok((Cow::Owned(filled), places))
}

/// Copies JSON, with each string value replaced by what `change` makes of it, or as it was written where that is nothing. The
/// names of fields are shown to it too, to be refused: nothing can be put in their place. All else stays as it was written.
fn rewrite(
    json: &str,
    mut change: impl FnMut(&str) -> Result<Option<String>, ()>,
) -> Result<String, ()> {
    let mut written = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let length = literal_length(&rest[start..]).ok_or(())?;
        let literal = &rest[start..start + length];
        let behind = &rest[start + length..];
        written.push_str(&rest[..start]);
        rest = behind;
        // Escapes may hide a brace, so the text counts and not how it is written; those without either are most.
        if !literal.contains(['{', '\\']) {
            written.push_str(literal);
            continue;
        }
        let text: String = serde_json::from_str(literal).map_err(|_| ())?;
        let is_name = behind.trim_start().starts_with(':');
        match change(&text)? {
            Some(_) if is_name => return Err(()),
            None if is_name && text.contains(OPENING) => return Err(()),
            Some(changed) => written.push_str(&Value::String(changed).to_string()),
            None => written.push_str(literal),
        }
    }
    written.push_str(rest);
    Ok(written)
}

/// The length of the JSON string that begins here, quotes included.
fn literal_length(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::device::Platform;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn values(json: &Value) -> Values {
        Values::parse(&raw(&json.to_string())).unwrap()
    }

    fn web(text: &str) -> Result<Option<Template>, InvalidPublish> {
        let part = json!({"notification": {"title": text}, "data": {"n": 1}});
        Template::of(None, None, Some(&raw(&part.to_string())))
    }

    fn filled(template: &Template, by: &Values) -> Result<Value, Reason> {
        let payloads = template.fill(by)?;
        let rendered = serde_json::to_value(payloads.web.unwrap()).unwrap();
        Ok(rendered["notification"]["title"].clone())
    }

    #[test]
    fn places_are_filled() {
        let template = web("Hi {{ name }}, {{n}} of {{ok}}{{name}}")
            .unwrap()
            .unwrap();
        let by = values(&json!({"name": "\"Ann\"\\\n{{n}}", "n": 1.5, "ok": true, "more": "x"}));
        let expected = "Hi \"Ann\"\\\n{{n}}, 1.5 of true\"Ann\"\\\n{{n}}";
        assert_eq!(filled(&template, &by).unwrap(), expected);
        let missing = values(&json!({"name": "Ann", "n": 1}));
        assert_eq!(filled(&template, &missing), Err("missing_value".into()));
        assert_eq!(
            filled(&template, &Values::default()),
            Err("missing_value".into())
        );
    }

    #[test]
    fn what_has_no_place_is_no_template() {
        for text in ["", "Hi", "{", "{ {name} }", "}}"] {
            assert!(web(text).unwrap().is_none(), "{text}");
        }
        assert!(Template::of(None, None, None).unwrap().is_none());
    }

    #[test]
    fn what_begins_no_place_is_refused() {
        for text in [
            "{{",
            "{{}}",
            "{{a b}}",
            "{{name}",
            "{{{name}}}",
            "{{name}} {{",
            "{{#if}}",
        ] {
            assert!(web(text).is_err(), "{text}");
        }
        // Neither the name of a field, nor a brace that is written as an escape.
        let named = raw(r#"{"data": {"{{name}}": 1}}"#);
        assert!(Template::of(None, None, Some(&named)).is_err());
        let hidden = raw(r#"{"notification": {"title": "\u007b\u007bname}}"}}"#);
        assert!(Template::of(None, None, Some(&hidden)).unwrap().is_some());
    }

    #[test]
    fn what_comes_out_is_checked() {
        let template = web("{{text}}").unwrap().unwrap();
        let long = values(&json!({"text": "x".repeat(VALUES_LENGTH_MAX - 20)}));
        assert_eq!(filled(&template, &long), Err("payload_too_large".into()));
        let apns = raw(r#"{"aps": {"alert": "x"}, "collapse_id": "{{id}}"}"#);
        let template = Template::of(Some(&apns), None, None).unwrap().unwrap();
        let bad = values(&json!({"id": "a\r\nb"}));
        assert_eq!(template.fill(&bad).unwrap_err(), "invalid_payload");
        assert!(template.fill(&values(&json!({"id": "a"}))).is_ok());
    }

    #[test]
    fn values_have_rules() {
        for bad in [
            "[]",
            "\"x\"",
            r#"{"a":null}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a b":"x"}"#,
            r#"{"":"x"}"#,
        ] {
            assert!(Values::parse(&raw(bad)).is_err(), "{bad}");
        }
        let long = json!({"a": "x".repeat(VALUES_LENGTH_MAX)}).to_string();
        assert_eq!(Values::parse(&raw(&long)), Err(InvalidValues::TooLarge));
        let good = values(&json!({"a": "x", "b": 1, "c": false}));
        assert_eq!(Values::from_stored(&good.as_json()), Some(good));
    }

    proptest! {
        #[test]
        fn a_text_is_whole_and_the_rest_as_it_was(
            pieces in proptest::collection::vec(("[^{}]{0,12}", "[a-c]"), 0..6),
            given in proptest::collection::btree_map("[a-d]", "\\PC{0,20}|[\"\\\\{}\n\u{0}]{0,6}", 0..4),
        ) {
            let text: String = pieces.iter().map(|(text, name)| format!("{text}{{{{{name}}}}}")).collect();
            let part = json!({"notification": {"title": text}, "data": {"deep": [{"n": 1.50, "text": text}]}});
            let template = Template::of(None, None, Some(&raw(&part.to_string()))).unwrap();
            prop_assert_eq!(template.is_some(), !pieces.is_empty());
            let Some(template) = template else { return Ok(()) };
            let by = values(&json!(given));
            let complete = pieces.iter().all(|(_, name)| given.contains_key(name));
            match template.fill(&by) {
                Err(reason) => {
                    prop_assert!(!complete);
                    prop_assert_eq!(reason, "missing_value");
                }
                Ok(payloads) => {
                    prop_assert!(complete);
                    let whole: String = pieces.iter().map(|(text, name)| format!("{text}{}", given[name])).collect();
                    // Read anew, so that it is JSON whatever the values hold.
                    let read: Value = serde_json::from_str(&serde_json::to_string(&payloads.web).unwrap()).unwrap();
                    prop_assert_eq!(&read["notification"]["title"], &whole);
                    prop_assert_eq!(&read["data"]["deep"][0]["text"], &whole);
                    prop_assert!(payloads.has(Platform::Web) && !payloads.has(Platform::Fcm));
                }
            }
        }

        #[test]
        fn nothing_makes_it_panic(json in "\\PC{0,60}", text in "[{}a\" \\\\]{0,20}") {
            let _ = rewrite(&json, |text| Ok(Some(text.to_owned())));
            let _ = fill(&text, |_| Some("x"));
            let _ = web(&text);
        }
    }
}
