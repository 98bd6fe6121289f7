//! A request of each call, as one would type it.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::fields::{parts, resolved};
use super::{Call, scheme};

/// How deep a made-up value goes.
const DEPTH_MAX: usize = 5;

/// A call by curl, with what is the reader's own in variables of the shell.
pub(super) fn curl(document: &Value, call: &Call<'_>) -> String {
    let server = document["servers"][0]["url"].as_str().unwrap_or_default();
    let mut line = "curl -sS".to_owned();
    if call.method != "get" {
        line.push_str(" -X ");
        line.push_str(&call.method.to_uppercase());
    }
    // Writing to a text does not fail.
    let _ = write!(line, " \"{server}{}\"", variables(call.path));
    let bearer = match scheme(call.described) {
        Some("secret_key") => Some("$SECRET_KEY"),
        Some("beams_token") => Some("$BEAMS_TOKEN"),
        Some("admin_token") => Some("$ADMIN_TOKEN"),
        _ => None,
    };
    if let Some(bearer) = bearer {
        let _ = write!(line, " \\\n  -H \"Authorization: Bearer {bearer}\"");
    }
    let body = &call.described["requestBody"]["content"]["application/json"];
    if let Some(schema) = body.get("schema") {
        let body = value(document, schema, DEPTH_MAX).to_string();
        line.push_str(" \\\n  -H 'Content-Type: application/json' \\\n  -d '");
        line.push_str(&body.replace('\'', r"'\''"));
        line.push('\'');
    }
    line
}

/// A path with `{name}` as `$NAME`.
fn variables(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for piece in path.split_inclusive(['{', '}']) {
        if let Some(name) = piece.strip_suffix('}') {
            out.push('$');
            out.push_str(&name.to_uppercase());
        } else {
            out.push_str(piece.strip_suffix('{').unwrap_or(piece));
        }
    }
    out
}

/// A value that the schema allows: its own example, or one made of the fields that must be there and those that have one.
fn value(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolved(document, schema);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if depth == 0 {
        return Value::Null;
    }
    if let Some(first) = schema["oneOf"]
        .as_array()
        .and_then(|_| parts(schema).next())
    {
        return value(document, first, depth - 1);
    }
    let kind = match &schema["type"] {
        Value::Array(several) => several.first().and_then(Value::as_str),
        other => other.as_str(),
    };
    match kind {
        Some("string") if schema["format"] == "date-time" => json!("2030-01-01T09:00:00Z"),
        Some("string") => json!("…"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([value(document, &schema["items"], depth - 1)]),
        _ => Value::Object(fields(document, schema, depth)),
    }
}

fn fields(document: &Value, schema: &Value, depth: usize) -> Map<String, Value> {
    let mut made = Map::new();
    for part in parts(schema) {
        if let Value::Object(more) = value(document, part, depth - 1) {
            made.extend(more);
        }
    }
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let needed = required.is_some_and(|names| names.iter().any(|one| one == name));
        if needed || field.get("example").is_some() {
            made.insert(name.clone(), value(document, field, depth - 1));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_path_are_variables() {
        assert_eq!(variables("/a/{b}/c/{d}"), "/a/$B/c/$D");
        assert_eq!(variables("/healthz"), "/healthz");
    }

    #[test]
    fn an_apostrophe_does_not_end_the_body() {
        let document = json!({"servers": [{"url": "http://x"}]});
        let described = json!({"requestBody": {"content": {"application/json": {"schema": {"example": {"a": "it's"}}}}}});
        let call = Call {
            method: "post",
            path: "/a",
            described: &described,
        };
        assert!(curl(&document, &call).ends_with(r#"-d '{"a":"it'\''s"}'"#));
    }
}
