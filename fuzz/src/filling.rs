//! Places in a payload and the values that fill them, as docs/PUBLISHING.md has them and not as the program does it: on values that
//! another reader read.

use std::collections::BTreeMap;

use crate::json::Json;

/// A user's values, each as the text that stands in for its place.
pub type Values = BTreeMap<String, String>;

/// The values of a line: strings as they are, numbers, `true` and `false` as they were written.
pub fn values(given: Option<&Json>) -> Values {
    let fields = given.and_then(Json::object).cloned().unwrap_or_default();
    let text = |value| match value {
        Json::Text(text) => text.expect("it is a text"),
        Json::Number(digits) => digits,
        Json::Bool(value) => value.to_string(),
        other => panic!("{other:?} is no value"),
    };
    fields
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect()
}

/// The same with all places filled, or `None` if a value is missing.
pub fn fill(part: &Json, values: &Values) -> Option<Json> {
    Some(match part {
        Json::Text(Some(text)) => Json::Text(Some(fill_text(text, values)?)),
        Json::List(list) => {
            let filled = list.iter().map(|value| fill(value, values));
            Json::List(filled.collect::<Option<_>>()?)
        }
        Json::Object(fields) => {
            let filled = fields
                .iter()
                .map(|(name, value)| Some((name.clone(), fill(value, values)?)));
            Json::Object(filled.collect::<Option<_>>()?)
        }
        other => other.clone(),
    })
}

/// From left to right; what a value brings is not looked at again.
fn fill_text(text: &str, values: &Values) -> Option<String> {
    let mut filled = String::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("{{") {
            let length = rest.find("}}").expect("a place ends");
            filled.push_str(values.get(rest[2..length].trim())?);
            at += length + 2;
        } else {
            let letter = rest.chars().next().expect("there is one");
            filled.push(letter);
            at += letter.len_utf8();
        }
    }
    Some(filled)
}

/// How many places there are.
pub fn places(part: &Json) -> usize {
    match part {
        Json::Text(Some(text)) => text.matches("{{").count(),
        Json::List(list) => list.iter().map(places).sum(),
        Json::Object(fields) => fields.values().map(places).sum(),
        _ => 0,
    }
}
