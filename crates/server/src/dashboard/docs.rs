//! `/docs`: the API description as a page for people.
//!
//! It is made of the very document that `/openapi.json` is, and knows no call by itself: what is described is on the page.

mod example;
mod fields;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::components::{badge, code};
use super::context::Context;
use super::error::PageError;
use super::layout::{self, head};
use crate::http::{Api, Origin, description};

/// The methods that a path may have, in the order of the page.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// One call of the document.
struct Call<'a> {
    method: &'static str,
    path: &'a str,
    described: &'a Value,
}

/// What a tag gathers: an API, or a part of one whose name stands behind a colon.
struct Group<'a> {
    api: &'a str,
    part: Option<&'a str>,
    about: &'a str,
    calls: Vec<Call<'a>>,
}

/// `GET`; anybody may read it, as anybody may read the document.
pub(super) async fn show(
    State(api): State<Api>,
    context: Context,
    origin: Origin,
) -> Result<Response, PageError> {
    let document = serde_json::to_value(description(&api, &origin));
    let document = document.map_err(|_| PageError::Internal)?;
    let groups = groups(&document);
    let body = html! {
        (head("API", text(&document["info"], "description")))
        p { "This page is made of " a href="/openapi.json" { "the OpenAPI document" } ", from which clients can be made too." }
        p { "In the examples, " code { "$INSTANCE" } " and other names in capitals stand for values of your own. What is refused is answered with JSON that has a short " code { "error" } " and a " code { "description" } " of what was wrong." }
        @for group in &groups { (gathered(&document, group)) }
    };
    let contents: Vec<_> = groups
        .iter()
        .map(|group| (anchor(group), label(group)))
        .collect();
    Ok(layout::guide(&context, "API", &contents, &body))
}

/// The calls of the document by tag, in its order.
fn groups(document: &Value) -> Vec<Group<'_>> {
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.map(|tag| {
        let name = text(tag, "name");
        let (api, part) = match name.split_once(": ") {
            Some((api, part)) => (api, Some(part)),
            None => (name, None),
        };
        Group {
            api,
            part,
            about: text(tag, "description"),
            calls: calls(document, name),
        }
    })
    .collect()
}

fn calls<'a>(document: &'a Value, tag: &str) -> Vec<Call<'a>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            let described = item.get(method)?;
            Some(Call {
                method,
                path,
                described,
            })
        })
    });
    let mut calls: Vec<_> = all
        .filter(|call| call.described["tags"][0] == tag)
        .collect();
    // Older forms last; nobody should begin with them.
    calls.sort_by_key(|call| call.described["deprecated"] == true);
    calls
}

fn anchor(group: &Group<'_>) -> String {
    let part = group.part.unwrap_or_default();
    format!("{} {part}", group.api)
        .trim_end()
        .to_lowercase()
        .replace(' ', "-")
}

/// What the table of contents calls it.
fn label(group: &Group<'_>) -> String {
    match group.part {
        Some(part) => format!("{}: {part}", group.api.trim_end_matches(" API")),
        None => group.api.to_owned(),
    }
}

fn gathered(document: &Value, group: &Group<'_>) -> Markup {
    let anchor = anchor(group);
    let title = match group.part {
        Some(part) => format!("{}: {part}", group.api),
        None => group.api.to_owned(),
    };
    html! {
        section aria-labelledby=(anchor) {
            h2 id=(anchor) { (title) }
            @if !group.about.is_empty() { p { (prose(group.about)) } }
            @for call in &group.calls { (one(document, call)) }
        }
    }
}

fn one(document: &Value, call: &Call<'_>) -> Markup {
    let described = call.described;
    let id = text(described, "operationId");
    let method = call.method.to_uppercase();
    let place = format!("{method} {}", call.path);
    let request = &described["requestBody"];
    html! {
        article.card.call aria-labelledby=(id) {
            h3 id=(id) { a href=(format!("#{id}")) { (text(described, "summary")) } }
            p.break { (badge(tone(call.method), &method)) " " code { (call.path) } @if described["deprecated"] == true { " " (badge("", "older form")) } }
            @if let Some(about) = described["description"].as_str() { p { (prose(about)) } }
            p.soft { (proof(described)) }
            (parameters(described))
            @if let Some(content) = request["content"].as_object() {
                h4 { "Body" }
                @if let Some(about) = request["description"].as_str() { p { (prose(about)) } }
                @for (kind, body) in content {
                    p { code { (kind) } }
                    (fields::table(document, &body["schema"], "What the body has"))
                }
            }
            (answers(document, described))
            h4 { "Example" }
            (code(&example::curl(document, call), &format!("Example of {place}")))
        }
    }
}

const fn tone(method: &str) -> &'static str {
    match method.as_bytes() {
        b"get" => "sky",
        b"delete" => "bad",
        _ => "live",
    }
}

/// How a caller proves itself.
fn proof(call: &Value) -> &'static str {
    match scheme(call) {
        Some("secret_key") => "Asks for a secret key of the instance: Authorization: Bearer …",
        Some("beams_token") => "Asks for a Beams token: Authorization: Bearer …",
        Some("admin_token") => "Asks for an admin token: Authorization: Bearer …",
        _ => "Asks for no credential.",
    }
}

/// The first security scheme of a call.
fn scheme(call: &Value) -> Option<&str> {
    let scheme = call["security"][0].as_object()?.keys().next()?;
    Some(scheme)
}

fn parameters(call: &Value) -> Markup {
    let given = call["parameters"].as_array();
    html! {
        @if let Some(given) = given {
            h4 { "Parameters" }
            div.scroll { table.cards {
                thead { tr { th scope="col" { "Name" } th scope="col" { "In" } th scope="col" { "What" } } }
                tbody { @for one in given { tr {
                    td data-label="Name" { code { (text(one, "name")) } }
                    td data-label="In" { span { (text(one, "in")) @if one["required"] != true { ", optional" } } }
                    td data-label="What" { span { (prose(text(one, "description"))) } }
                } } }
            } }
        }
    }
}

fn answers(document: &Value, call: &Value) -> Markup {
    let answers = call["responses"].as_object().into_iter().flatten();
    html! {
        h4 { "Answers" }
        dl.facts { @for (status, answer) in answers {
            @let content = answer["content"].as_object().and_then(|content| content.iter().next());
            dt { (if status == "default" { "any other" } else { status }) }
            dd {
                (prose(text(answer, "description")))
                @if let Some((kind, body)) = content && status == "200" {
                    details {
                        summary { "What it has" }
                        p { code { (kind) } }
                        (fields::table(document, &body["schema"], "What the answer has"))
                    }
                }
            }
        } }
    }
}

/// A text of the document, in which what stands between backquotes is code.
fn prose(text: &str) -> Markup {
    html! {
        @for (place, piece) in text.split('`').enumerate() {
            @if place.is_multiple_of(2) { (piece) } @else { code { (piece) } }
        }
    }
}

/// A text of the document, empty if there is none.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
