//! What a body has, field by field, from its JSON Schema.

use maud::{Markup, html};
use serde_json::Value;

use super::prose;

/// How deep fields within fields are shown.
const DEPTH_MAX: usize = 5;

/// One field.
#[derive(Debug, PartialEq, Eq)]
struct Field<'a> {
    name: String,
    kind: String,
    required: bool,
    about: &'a str,
}

/// The schema itself, where it is only named.
pub(super) fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let named = schema["$ref"].as_str();
    let pointer = named.and_then(|name| name.strip_prefix('#'));
    pointer
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(schema)
}

/// The schemas that together or one instead of another make this one, without null; none of one that stands for itself.
pub(super) fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["allOf", "oneOf", "anyOf"];
    let parts = lists.into_iter().filter_map(|list| schema[list].as_array());
    parts.flatten().filter(|part| part["type"] != "null")
}

/// A table of the fields; what is no object in one line.
pub(super) fn table(document: &Value, schema: &Value, caption: &str) -> Markup {
    let mut fields = Vec::new();
    gather(document, schema, "", DEPTH_MAX, &mut fields);
    html! {
        @if fields.is_empty() {
            p.soft { (kind(document, schema)) }
        } @else {
            div.scroll { table.cards {
                caption.unseen { (caption) }
                thead { tr { th scope="col" { "Field" } th scope="col" { "Type" } th scope="col" { "What" } } }
                tbody { @for field in &fields { tr {
                    td.break data-label="Field" { code { (field.name) } }
                    td data-label="Type" { span { (field.kind) @if !field.required { ", optional" } } }
                    td data-label="What" { span { (prose(field.about)) } }
                } } }
            } }
        }
    }
}

/// Adds the fields of a schema, those within others behind a dot.
fn gather<'a>(
    document: &'a Value,
    schema: &'a Value,
    within: &str,
    depth: usize,
    fields: &mut Vec<Field<'a>>,
) {
    if depth == 0 {
        return;
    }
    let schema = resolved(document, schema);
    for part in parts(schema) {
        gather(document, part, within, depth - 1, fields);
    }
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if within.is_empty() {
            name.clone()
        } else {
            format!("{within}.{name}")
        };
        fields.push(Field {
            kind: kind(document, field),
            required: required.is_some_and(|names| names.iter().any(|one| one == name)),
            about: field["description"].as_str().unwrap_or_default(),
            name: path.clone(),
        });
        let (inner, path) = match resolved(document, field)["items"] {
            Value::Null => (field, path),
            ref items => (items, format!("{path}[]")),
        };
        gather(document, inner, &path, depth - 1, fields);
    }
}

/// What a value is, in words.
fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => {
            let mut kinds: Vec<_> = parts(schema).map(|part| kind(document, part)).collect();
            kinds.dedup();
            return if kinds.is_empty() {
                "anything".to_owned()
            } else {
                kinds.join(" or ")
            };
        }
    };
    let word = |one: &&str| match (*one, schema["format"].as_str()) {
        ("array", _) => format!("list of {}", kind(document, &schema["items"])),
        ("string", Some("date-time")) => "time (RFC 3339)".to_owned(),
        ("integer", _) => "whole number".to_owned(),
        ("string", _) => "text".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        (other, _) => other.to_owned(),
    };
    let words: Vec<String> = kinds.iter().map(word).collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_within_fields_and_beside_them() {
        let document = json!({"components": {"schemas": {
            "Inner": {"type": "object", "required": ["at"], "properties": {"at": {"type": "string", "format": "date-time", "description": "When."}}},
            "Loop": {"type": "object", "properties": {"again": {"$ref": "#/components/schemas/Loop"}}},
        }}});
        let schema = json!({"allOf": [
            {"$ref": "#/components/schemas/Inner"},
            {"type": "object", "properties": {
                "list": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
                "maybe": {"oneOf": [{"type": "null"}, {"type": ["integer", "null"]}]},
            }},
        ]});
        let mut fields = Vec::new();
        gather(&document, &schema, "", DEPTH_MAX, &mut fields);
        let shown: Vec<_> = fields
            .iter()
            .map(|field| (field.name.as_str(), field.kind.as_str(), field.required))
            .collect();
        assert_eq!(
            shown,
            [
                ("at", "time (RFC 3339)", true),
                ("list", "list of object", false),
                ("list[].at", "time (RFC 3339)", true),
                ("maybe", "whole number or null", false),
            ]
        );
        let mut fields = Vec::new();
        let endless = json!({"$ref": "#/components/schemas/Loop"});
        gather(&document, &endless, "", DEPTH_MAX, &mut fields);
        assert_eq!(fields.len(), DEPTH_MAX);
    }
}
